package remote

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// testFailure is a way that cannot work.
type testFailure struct {
	name    string
	problem Problem
	want    string // in the message
	wayOut  string
	setup   func(t *testing.T) (cfg Config, secrets []string)
}

// tlsSetup is a way to a server with this certificate.
func tlsSetup(change func(*Config), l leaf, tlsChange ...func(*tls.Config)) func(*testing.T) (Config, []string) {
	return func(t *testing.T) (Config, []string) {
		ca := newAuthority(t)
		cfg := Config{URL: "tls://" + addr(start(t, withTLS(serverTLS(ca.issue(t, l), tlsChange...)))), CA: ca.file}
		if change != nil {
			change(&cfg)
		}
		return cfg, nil
	}
}

// loginSetup is a login to a server that knows one user, with a password, and one with a token.
func loginSetup(change func(t *testing.T, cfg *Config) (secrets []string), setup func(*server.Options)) func(*testing.T) (Config, []string) {
	return func(t *testing.T) (Config, []string) {
		cfg := Config{URL: "nats://" + addr(start(t, setup))}
		return cfg, change(t, &cfg)
	}
}

func withUser(o *server.Options)  { o.Username, o.Password = "pulse", "right" }
func withToken(o *server.Options) { o.Authorization = "right" }

// mutual is a way to a server that wants a client certificate.
func mutual(client func(t *testing.T, ca *authority) *pair, change ...func(*tls.Config)) func(*testing.T) (Config, []string) {
	return func(t *testing.T) (Config, []string) {
		ca := newAuthority(t)
		side := serverTLS(ca.issue(t, leaf{}), append(change, wantsClients(ca))...)
		cfg := Config{URL: "tls://" + addr(start(t, withTLS(side))), CA: ca.file}
		if p := client(t, ca); p != nil {
			cfg.Cert, cfg.Key = p.cert, p.key
		}
		return cfg, nil
	}
}

func noCertificate(*testing.T, *authority) *pair { return nil }

func fromElsewhere(t *testing.T, _ *authority) *pair {
	p := newAuthority(t).issue(t, leaf{})
	return &p
}

func expired(t *testing.T, ca *authority) *pair {
	p := ca.issue(t, leaf{expires: time.Now().Add(-time.Hour)})
	return &p
}

// talker is a server that answers every connection with text, and closes it if that is empty.
func talker(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}()
	return l.Addr().String()
}

var troubles = []testFailure{
	{"a name that does not exist", NameNotFound, "the name no-such-host.invalid cannot be resolved", "correct <server_url>",
		func(*testing.T) (Config, []string) { return Config{URL: "nats://no-such-host.invalid"}, nil }},
	{"a port where nothing listens", Refused, "nothing listens there (connection refused)", "start the NATS server",
		func(t *testing.T) (Config, []string) { return Config{URL: "nats://" + unused(t)}, nil }},
	{"a server that never says a word", NoAnswer, "no answer within 300ms", "firewalls", silence("nats://")},
	{"a web socket that never says a word", NoAnswer, "no answer within 300ms", "firewalls", silence("wss://")},
	{"a server of something else", NoNATS, "no NATS server answers there, but something else", "correct <server_url>",
		func(t *testing.T) (Config, []string) {
			return Config{URL: "nats://" + talker(t, "SSH-2.0-OpenSSH_9.9\r\n")}, nil
		}},
	{"a server that closes the connection", NoNATS, "the connection was closed before a NATS server answered", "correct <server_url>",
		func(t *testing.T) (Config, []string) { return Config{URL: "nats://" + talker(t, "")}, nil }},
	{"a NATS port for a web socket", NoNATS, "no NATS server answers there, but something else", "correct <server_url>",
		func(t *testing.T) (Config, []string) { return Config{URL: "ws://" + addr(start(t))}, nil }},

	{"a server without TLS", NoTLS, "the server speaks no TLS", "configure TLS on the server",
		func(t *testing.T) (Config, []string) { return Config{URL: "tls://" + addr(start(t))}, nil }},
	{"a server without TLS, and an authority set", NoTLS, "the server speaks no TLS", "configure TLS on the server",
		func(t *testing.T) (Config, []string) {
			return Config{URL: "nats://" + addr(start(t)), CA: newAuthority(t).file}, nil
		}},
	{"a web socket without TLS", NoTLS, "the server speaks no TLS", "configure TLS on the server",
		func(t *testing.T) (Config, []string) {
			srv := start(t, func(o *server.Options) {
				o.Websocket.Host, o.Websocket.Port, o.Websocket.NoTLS = "127.0.0.1", server.RANDOM_PORT, true
			})
			return Config{URL: strings.Replace(srv.WebsocketURL(), "ws://", "wss://", 1)}, nil
		}},
	{"a server that speaks TLS 1.1 at most", OldTLS, "the server speaks no TLS 1.2 or newer", "let the server speak TLS 1.2 or 1.3",
		tlsSetup(nil, leaf{}, atMost(tls.VersionTLS11))},
	{"an expired certificate", Expired, "the server's certificate expired on 20", "renew the certificate on the server",
		tlsSetup(nil, leaf{expires: time.Now().Add(-time.Hour)})},
	{"a certificate of the future", Expired, "the server's certificate is not valid before 20", "correct this host's clock",
		tlsSetup(nil, leaf{from: time.Now().Add(time.Hour)})},
	{"a certificate of another host", WrongHost, "the server's certificate is for xdr.example, not for 127.0.0.1", "name the server in <server_url> as its certificate does",
		tlsSetup(nil, leaf{host: "xdr.example"})},
	{"an authority that this host does not know", UnknownAuthority, `an authority we do not know, \"CN=Test Authority\"`, "set <tls_ca> to the certificate of the authority",
		tlsSetup(func(c *Config) { c.CA = "" }, leaf{})},
	{"an authority that has only its name in common with tls_ca", UnknownAuthority, "verification failure", "into <tls_ca>/",
		func(t *testing.T) (Config, []string) {
			cfg, _ := tlsSetup(nil, leaf{})(t)
			cfg.CA = newAuthority(t).file
			return cfg, nil
		}},
	{"an authority that has expired", Expired, `the certificate of an authority of the server's, \"CN=Test Authority\", expired on 20`, "renew that: in <tls_ca>",
		func(t *testing.T) (Config, []string) {
			ca := newAuthorityUntil(t, time.Now().Add(-time.Hour))
			return Config{URL: "tls://" + addr(start(t, withTLS(serverTLS(ca.issue(t, leaf{}))))), CA: ca.file}, nil
		}},
	{"a server that requires TLS of a plain URL", UnknownAuthority, "(the server requires TLS)", "set <tls_ca>",
		tlsSetup(func(c *Config) { c.CA, c.URL = "", strings.Replace(c.URL, "tls://", "nats://", 1) }, leaf{})},

	{"no client certificate", WantsCertificate, "the server wants a client certificate, and we have none", "set <tls_cert> and <tls_key>",
		mutual(noCertificate)},
	{"no client certificate, with TLS 1.2", WantsCertificate, "the server wants a client certificate, and we have none", "set <tls_cert> and <tls_key>",
		mutual(noCertificate, atMost(tls.VersionTLS12))},
	{"a client certificate of another authority", CertificateTaken, "the server refuses our client certificate", "signed by an authority that the server knows",
		mutual(fromElsewhere)},
	{"a client certificate of another authority, with TLS 1.2", CertificateTaken, "the server refuses our client certificate", "signed by an authority that the server knows",
		mutual(fromElsewhere, atMost(tls.VersionTLS12))},
	{"an expired client certificate", CertificateTaken, "the server refuses our client certificate, which expired on 20", "renew <tls_cert>/",
		mutual(expired)},

	{"no login", WantsLogin, "the server wants a login, and none is given", "set <credentials_file>",
		loginSetup(func(*testing.T, *Config) []string { return nil }, withUser)},
	{"a wrong password", LoginRefused, `the server refuses the login of user \"pulse\"`, "put a valid login into <password_file>/",
		loginSetup(func(t *testing.T, c *Config) []string {
			c.User, c.PasswordFile = "pulse", secretFile(t, "hunter2\n")
			return []string{"hunter2"}
		}, withUser)},
	{"a wrong token", LoginRefused, "the server refuses the login of the token", "put a valid login into <token_file>/",
		loginSetup(func(t *testing.T, c *Config) []string {
			c.TokenFile = secretFile(t, "hunter2")
			return []string{"hunter2"}
		}, withToken)},
	{"an unknown NKey", LoginRefused, "the server refuses the login of NKey U", "put a valid login into <nkey_file>/",
		func(t *testing.T) (Config, []string) {
			known := public(t, newPair(t, nkeys.CreateUser))
			srv := start(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: known}} })
			file, seed := seedFile(t)
			return Config{URL: "nats://" + addr(srv), NKeyFile: file}, []string{seed}
		}},
	{"an NKey where none is taken", LoginRefused, "the server takes no NKeys or credentials", "log in in another way",
		loginSetup(func(t *testing.T, c *Config) []string { c.NKeyFile, _ = seedFile(t); return nil }, withUser)},
	{"credentials of an unknown account", LoginRefused, `the server refuses the login of user \"node01\" (U`, "put a valid login into <credentials_file>/",
		credentials(func(t *testing.T, r *testOperator) (string, []string) {
			file, _, secrets := r.user(t, newPair(t, nkeys.CreateAccount), nil)
			return file, secrets
		})},
	{"expired credentials", LoginExpired, `the login of user \"node01\" (U`, "put a valid login into <credentials_file>/",
		credentials(func(t *testing.T, r *testOperator) (string, []string) {
			file, _, secrets := r.user(t, r.account, func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Hour).Unix() })
			return file, secrets
		})},
	{"an account that is full", ServerFull, "the server takes no more connections", "raise max_connections",
		func(t *testing.T) (Config, []string) {
			r := newTestOperator(t)
			srv := start(t, r.setup(t, func(c *jwt.AccountClaims) { c.Limits.Conn = 1 }))
			file, _, secrets := r.user(t, r.account, nil)
			first, book := open(t, Config{URL: "nats://" + addr(srv), CredentialsFile: file})
			session(t, first, book)
			return Config{URL: "nats://" + addr(srv), CredentialsFile: file}, secrets
		}},
}

// credentials is a way to a server that knows an operator and an account.
func credentials(user func(t *testing.T, r *testOperator) (file string, secrets []string)) func(*testing.T) (Config, []string) {
	return func(t *testing.T) (Config, []string) {
		r := newTestOperator(t)
		srv := start(t, r.setup(t))
		file, secrets := user(t, r)
		return Config{URL: "nats://" + addr(srv), CredentialsFile: file}, secrets
	}
}

func seedFile(t *testing.T) (file, seed string) {
	t.Helper()
	text, err := newPair(t, nkeys.CreateUser).Seed()
	if err != nil {
		t.Fatal(err)
	}
	return secretFile(t, string(text)+"\n"), string(text)
}

// silence is a way to a server that takes connections, by its backlog, and no more.
func silence(scheme string) func(*testing.T) (Config, []string) {
	return func(t *testing.T) (Config, []string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return Config{URL: scheme + l.Addr().String(), Timeout: 300 * time.Millisecond}, nil
	}
}

// unused is an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestEachTroubleHasItsOwnMessageAndIsToldOnce(t *testing.T) {
	for _, tt := range troubles {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, secrets := tt.setup(t)
			r, book := open(t, cfg)
			book.WaitForLine(t, "the NATS server is unavailable") // after the third failure
			line := book.WaitForLine(t, "problem=")
			for _, want := range []string{"problem=" + string(tt.problem) + " ", tt.want, tt.wayOut, "127.0.0.1"} {
				if want == "127.0.0.1" && tt.problem == NameNotFound {
					continue
				}
				if !strings.Contains(line, want) {
					t.Errorf("the message does not have %q:\n%s", want, line)
				}
			}
			if n := book.count("level=WARN"); n != 1 {
				t.Errorf("it was told %d times:\n%s", n, book)
			}
			state := r.State()
			if state.Connected || !state.Unavailable || state.Errors < 3 || state.Problem != string(tt.problem) {
				t.Errorf("%+v", state)
			}
			if refuses := tt.problem.RefusesLogin(); refuses != (state.LoginsRefused >= 3) || !refuses && state.LoginsRefused > 0 {
				t.Errorf("%d logins were refused", state.LoginsRefused)
			}
			book.checkHoldsNone(t, secrets...)
		})
	}
}

func TestADialSaysWhatIsWrongWithEachServer(t *testing.T) {
	wants := start(t, withUser)
	_, err := Dial(testContext(t), Config{URL: "nats://" + unused(t) + ",nats://" + addr(wants)})
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), " / nats://"+addr(wants)+": the server wants a login") {
		t.Errorf("got %v", err)
	}
	if f, ok := errors.AsType[*Failure](err); !ok || f.Problem != Refused {
		t.Errorf("the first is %+v", f)
	}
}
