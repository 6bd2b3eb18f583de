package remote

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// replaced waits until another session has taken over, and returns that.
func replaced(t *testing.T, r *Remote, old *Session, book *testLog) *Session {
	t.Helper()
	book.WaitForLine(t, "connected to the NATS server anew, with the changed files")
	s := session(t, r, book)
	if s == old {
		t.Fatalf("the old session is still offered\n%s", book)
	}
	return s
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, text)
}

func TestANewClientCertificateIsUsedWithoutARestart(t *testing.T) {
	ca := newAuthority(t)
	shown := make(chan string, 10)
	side := serverTLS(ca.issue(t, leaf{}), wantsClients(ca), func(c *tls.Config) {
		c.VerifyConnection = func(s tls.ConnectionState) error { shown <- s.PeerCertificates[0].Subject.CommonName; return nil }
	})
	srv := start(t, withTLS(side))
	first, second := ca.issue(t, leaf{common: "first"}), ca.issue(t, leaf{common: "second"})
	r, book := open(t, Config{URL: "tls://" + addr(srv), CA: ca.file, Cert: first.cert, Key: first.key})
	s := session(t, r, book)
	copyFile(t, second.cert, first.cert)
	copyFile(t, second.key, first.key)
	next := replaced(t, r, s, book)
	if a, b := <-shown, <-shown; a != "first" || b != "second" {
		t.Errorf("the server was shown %s, then %s", a, b)
	}
	if s.Reason() != nil { // whoever is in the middle of something may finish it
		t.Errorf("the old session ended at once: %v", s.Reason())
	}
	r.Close()
	if next.Reason() == nil || s.Reason() == nil {
		t.Error("a session outlived its remote")
	}
	if state := r.State(); state.Errors > 1 { // one, if it looked when only half of the pair was new
		t.Errorf("%+v\n%s", state, book)
	}
}

func TestTheOldSessionEndsOnceItsUsersHadTime(t *testing.T) {
	srv := start(t, withUser)
	password := secretFile(t, "right")
	r, book := open(t, Config{URL: "nats://" + addr(srv), User: "pulse", PasswordFile: password, Timeout: 2 * time.Second})
	s := session(t, r, book)
	writeFile(t, password, []byte("right\n")) // the same password, in another file
	next := replaced(t, r, s, book)
	select {
	case <-s.Ended():
	case <-testContext(t).Done():
		t.Fatal("the old session lives on")
	}
	if s.Reason() != errReplaced || next.Reason() != nil {
		t.Errorf("the old one ended with %v, the new one with %v", s.Reason(), next.Reason())
	}
	if state := r.State(); !state.Connected || state.Errors != 0 {
		t.Errorf("%+v\n%s", state, book)
	}
}

func TestFilesThatDoNotWorkLeaveTheOldConnection(t *testing.T) {
	ca := newAuthority(t)
	srv := start(t, withTLS(serverTLS(ca.issue(t, leaf{}), wantsClients(ca))))
	mine := ca.issue(t, leaf{})
	r, book := open(t, Config{URL: "tls://" + addr(srv), CA: ca.file, Cert: mine.cert, Key: mine.key})
	s := session(t, r, book)

	const stays = "the files of the NATS login have changed and do not work: the old connection stays"
	writeFile(t, mine.cert, []byte("not a certificate"))
	if line := book.WaitForLine(t, stays); !strings.Contains(line, "problem=file_unusable") || !strings.Contains(line, "<tls_cert>"+mine.cert) {
		t.Errorf("log says %s", line)
	}
	stranger := newAuthority(t).issue(t, leaf{})
	copyFile(t, stranger.key, mine.key)
	copyFile(t, stranger.cert, mine.cert)
	book.WaitForLine(t, "problem=client_certificate_refused")
	if s.Reason() != nil || session(t, r, book) != s {
		t.Fatalf("the old session ended: %v\n%s", s.Reason(), book)
	}
	if err := s.Conn.FlushTimeout(testTimeout); err != nil {
		t.Fatal(err)
	}
	if n := r.State().LoginsRefused; n != 1 {
		t.Errorf("%d logins refused", n)
	}
	good := ca.issue(t, leaf{})
	copyFile(t, good.key, mine.key)
	copyFile(t, good.cert, mine.cert)
	replaced(t, r, s, book)
}

func TestAReconnectUsesWhatIsOnTheDisk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(t *testing.T) (cfg Config, srv *server.Server, rotate func())
	}{
		{"a password", func(t *testing.T) (Config, *server.Server, func()) {
			srv := start(t, withUser)
			file := secretFile(t, "right")
			return Config{User: "pulse", PasswordFile: file}, srv, func() {
				reload(t, srv, func(o *server.Options) { o.Username, o.Password = "pulse", "new" })
				writeFile(t, file, []byte("new"))
			}
		}},
		{"a token", func(t *testing.T) (Config, *server.Server, func()) {
			srv := start(t, withToken)
			file := secretFile(t, "right")
			return Config{TokenFile: file}, srv, func() {
				reload(t, srv, func(o *server.Options) { o.Authorization = "new" })
				writeFile(t, file, []byte("new"))
			}
		}},
		{"credentials", func(t *testing.T) (Config, *server.Server, func()) {
			realm := newTestOperator(t)
			srv := start(t, realm.setup(t))
			file, key, _ := realm.user(t, realm.account, nil)
			return Config{CredentialsFile: file}, srv, func() {
				realm.revoke(t, srv, key)
				other, _, _ := realm.user(t, realm.account, nil)
				copyFile(t, other, file)
			}
		}},
		{"the server's certificate and its authority", func(t *testing.T) (Config, *server.Server, func()) {
			ca := newAuthority(t)
			srv := start(t, withTLS(serverTLS(ca.issue(t, leaf{}))))
			return Config{CA: ca.file}, srv, func() {
				other := newAuthority(t)
				reload(t, srv, withTLS(serverTLS(other.issue(t, leaf{}))))
				copyFile(t, other.file, ca.file)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, srv, rotate := tt.before(t)
			cfg.URL = "nats://" + addr(srv)
			r, book := open(t, cfg)
			s := session(t, r, book)
			rotate()
			s.End(errReplaced) // where the server has not ended it
			next := session(t, r, book)
			if next == s {
				t.Error("the same session")
			}
			if err := next.Conn.FlushTimeout(testTimeout); err != nil {
				t.Errorf("%v\n%s", err, book)
			}
		})
	}
}

func TestNewFilesAreTriedBeforeTheNextTryIsDue(t *testing.T) {
	srv := start(t, withUser)
	file := secretFile(t, "wrong")
	r, book := open(t, Config{URL: "nats://" + addr(srv), User: "pulse", PasswordFile: file, ReconnectDelay: 1 << 40})
	book.WaitForLine(t, "the NATS server refuses our login")
	writeFile(t, file, []byte("right\n"))
	session(t, r, book)
}
