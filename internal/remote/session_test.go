package remote

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func TestALoginThatEndsWhileConnectedIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name    string
		problem Problem
		want    string
		after   Problem // what the next tries find
		run     func(t *testing.T) (cfg Config, end func(), secrets []string)
	}{
		{"credentials are revoked", LoginRevoked, `the server has revoked the login of user \"node01\" (U`, LoginRefused,
			func(t *testing.T) (Config, func(), []string) {
				r := newTestOperator(t)
				srv := start(t, r.setup(t))
				file, key, secrets := r.user(t, r.account, nil)
				return Config{URL: "nats://" + addr(srv), CredentialsFile: file}, func() { r.revoke(t, srv, key) }, secrets
			}},
		{"credentials expire", LoginExpired, `the login of user \"node01\" (U`, LoginExpired,
			func(t *testing.T) (Config, func(), []string) {
				r := newTestOperator(t)
				srv := start(t, r.setup(t))
				file, _, secrets := r.user(t, r.account, func(c *jwt.UserClaims) { c.Expires = time.Now().Add(8 * time.Second).Unix() })
				return Config{URL: "nats://" + addr(srv), CredentialsFile: file}, func() {}, secrets
			}},
		{"the user is taken off the server", ConnectionLost, "the connection was lost", LoginRefused, // the server gives no reason
			func(t *testing.T) (Config, func(), []string) {
				users := func(names ...string) func(*server.Options) {
					return func(o *server.Options) {
						o.Users = nil
						for _, name := range names {
							o.Users = append(o.Users, &server.User{Username: name, Password: "hunter2"})
						}
					}
				}
				srv := start(t, users("other", "pulse"))
				return Config{URL: "nats://" + addr(srv), User: "pulse", PasswordFile: secretFile(t, "hunter2")}, func() { reload(t, srv, users("other")) }, []string{"hunter2"}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, end, secrets := tt.run(t)
			r, book := open(t, cfg)
			s := session(t, r, book)
			end()
			select {
			case <-s.Ended():
			case <-testContext(t).Done():
				t.Fatalf("still connected\n%s", book)
			}
			line := book.WaitForLine(t, "problem=")
			if !strings.Contains(line, "problem="+string(tt.problem)+" ") || !strings.Contains(line, tt.want) {
				t.Errorf("log says %s", line)
			}
			line = book.WaitForLine(t, "the NATS server is unavailable")
			if !strings.Contains(line, "problem="+string(tt.after)) || !strings.Contains(line, "put a valid login into <") {
				t.Errorf("log says\n%s", book)
			}
			if n := r.State().LoginsRefused; n < 2 {
				t.Errorf("%d logins refused", n)
			}
			book.checkHoldsNone(t, secrets...)
		})
	}
}

func TestASubjectThatIsRefusedIsSaidOnceForItsKind(t *testing.T) {
	srv := start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "pulse", Password: "hunter2", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"good.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.node01.>"}},
		}}}
	})
	r, book := open(t, Config{URL: "nats://" + addr(srv), User: "pulse", PasswordFile: secretFile(t, "hunter2"), Node: "node01"})
	s := session(t, r, book)
	for _, subject := range []string{"good.a", "bad.a", "bad.b", "$JS.API.STREAM.NAMES", "bad.c"} {
		if err := s.Conn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Conn.SubscribeSync("others.>"); err != nil {
		t.Fatal(err)
	}
	if err := s.Conn.FlushTimeout(testTimeout); err != nil {
		t.Fatal(err)
	}
	explained := s.Explain(s.Conn.LastError()).Error()
	if want := `nats://` + addr(srv) + `: user "pulse" may not subscribe to "others.>"; give that user the right on the server`; explained != want {
		t.Errorf("got  %s\nwant %s", explained, want)
	}
	book.WaitForLine(t, `user \"pulse\" may not subscribe to \"others.>\"`)
	if line := book.WaitForLine(t, "problem=subject_refused"); !strings.Contains(line, `user \"pulse\" may not publish to \"bad.a\"; give that user the right on the server`) {
		t.Errorf("log says %s", line)
	}
	if n := book.count("level=WARN"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, book)
	}
	if s.Reason() != nil || r.State().LoginsRefused != 0 {
		t.Errorf("the session ended: %v", s.Reason())
	}
}

func TestOneOfSeveralServersIsEnough(t *testing.T) {
	good, wants := start(t), start(t, withUser)
	r, book := open(t, Config{URL: "nats://" + unused(t) + ", nats://" + addr(wants) + ",nats://" + addr(good)})
	for range 20 { // each begins anywhere
		s := session(t, r, book)
		if url := s.Conn.ConnectedAddr(); url != addr(good) {
			t.Fatalf("connected to %s", url)
		}
		s.End(nats.ErrTimeout)
		<-s.Ended()
	}
	book.WaitForLine(t, "a NATS server cannot be used, another one can")
	if book.count("problem=connection_refused") > 1 || book.count("problem=login_missing") > 1 {
		t.Errorf("told more than once:\n%s", book)
	}
}

// Whoever sends on a connection that the server has closed hears less than why it did.
func TestTheReasonOfALostConnectionCountsMoreThanWhatItsUsersSay(t *testing.T) {
	srv := start(t)
	r, book := open(t, Config{URL: "nats://" + addr(srv)})
	s := session(t, r, book)
	srv.Shutdown()
	for s.Conn.FlushTimeout(testTimeout) == nil {
		continue
	}
	s.End(nats.ErrConnectionClosed)
	if f := Failures(s.Reason()); len(f) != 1 || f[0].Problem != ConnectionLost {
		t.Errorf("it ended with %v", s.Reason())
	}
}

func TestASessionsEndIsToldWithItsReason(t *testing.T) {
	srv := start(t)
	r, book := open(t, Config{URL: "nats://" + addr(srv)})
	s := session(t, r, book)
	srv.Shutdown()
	select {
	case <-s.Ended():
	case <-testContext(t).Done():
		t.Fatal("still connected")
	}
	if line := book.WaitForLine(t, "problem=connection_lost"); !strings.Contains(line, "the connection was lost") {
		t.Errorf("log says %s", line)
	}
	book.WaitForLine(t, "problem=connection_refused")
}
