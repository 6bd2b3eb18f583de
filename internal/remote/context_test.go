package remote

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// writeContext writes a context of the nats command line, and returns its name.
func writeContext(t *testing.T, settings map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "nats", "context", "xdr.json"), text)
	return "xdr"
}

func TestASessionOfAContextHasAllThatIsInTheContext(t *testing.T) {
	ca := newAuthority(t)
	mine := ca.issue(t, leaf{})
	for _, tt := range []struct {
		name     string
		settings func(t *testing.T) map[string]any
	}{
		{"the default without a login", func(t *testing.T) map[string]any { return map[string]any{"url": "nats://" + addr(start(t))} }},
		{"a token", func(t *testing.T) map[string]any {
			return map[string]any{"url": addr(start(t, withToken)), "token": "right"}
		}},
		{"a user in the url, the second of two servers", func(t *testing.T) map[string]any {
			return map[string]any{"url": "nats://" + unused(t) + ", nats://pulse:right@" + addr(start(t, withUser))}
		}},
		{"an NKey, and an inbox of its own", func(t *testing.T) map[string]any {
			file, seed := seedFile(t)
			kp, err := nkeys.FromSeed([]byte(seed))
			if err != nil {
				t.Fatal(err)
			}
			srv := start(t, func(o *server.Options) {
				o.Nkeys = []*server.NkeyUser{{Nkey: public(t, kp), Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.mine.>"}}}}}
			})
			return map[string]any{"url": "nats://" + addr(srv), "nkey": file, "inbox_prefix": "_INBOX.mine"}
		}},
		{"credentials over TLS", func(t *testing.T) map[string]any {
			r := newTestOperator(t)
			file, _, _ := r.user(t, r.account, nil)
			return map[string]any{"url": "tls://" + addr(start(t, r.setup(t), withTLS(serverTLS(ca.issue(t, leaf{}))))), "ca": ca.file, "creds": file}
		}},
		{"TLS before the protocol, and a client certificate", func(t *testing.T) map[string]any {
			srv := start(t, withTLS(serverTLS(ca.issue(t, leaf{}), wantsClients(ca))), func(o *server.Options) { o.TLSHandshakeFirst = true })
			return map[string]any{"url": "tls://" + addr(srv), "ca": ca.file, "cert": mine.cert, "key": mine.key, "tls_first": true, "jetstream_domain": "hub"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			settings := tt.settings(t)
			s, err := Dial(testContext(t), Config{Context: writeContext(t, settings), Name: "a test"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Conn.Close()
			sub, err := s.Conn.SubscribeSync(s.Conn.NewRespInbox())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RoundTrip(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if err := s.TakeSubscribeRefusal(sub.Subject); err != nil {
				t.Error(err)
			}
			domain, _ := settings["jetstream_domain"].(string)
			if string(s.JetStreamDomain()) != domain || s.Conn.Opts.Name != "a test" || s.Conn.Opts.AllowReconnect {
				t.Errorf("domain %q, name %q, reconnects %v", s.JetStreamDomain(), s.Conn.Opts.Name, s.Conn.Opts.AllowReconnect)
			}
		})
	}
}

func TestWhatIsWrongWithAContextIsSaidWithItsNameAndNoSecret(t *testing.T) {
	ca := newAuthority(t)
	seed, secret := seedFile(t)
	withServerTLS := withTLS(serverTLS(ca.issue(t, leaf{}), func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool }))
	for _, tt := range []struct {
		name, want string
		problem    Problem
		settings   func(t *testing.T) map[string]any
	}{
		{"another password", `the server refuses the login of user pulse`, LoginRefused, func(t *testing.T) map[string]any {
			return map[string]any{"url": addr(start(t, withUser)), "user": "pulse", "password": secret}
		}},
		{"no login", "the NATS context xdr has none; correct the NATS context in /", WantsLogin, func(t *testing.T) map[string]any {
			return map[string]any{"url": addr(start(t, withUser))}
		}},
		{"another NKey", "the server refuses the login of nkey /", LoginRefused, func(t *testing.T) map[string]any {
			srv := start(t, func(o *server.Options) {
				o.Nkeys = []*server.NkeyUser{{Nkey: public(t, newPair(t, nkeys.CreateUser))}}
			})
			return map[string]any{"url": addr(srv), "nkey": seed}
		}},
		{"an unknown authority", "an authority we do not know", UnknownAuthority, func(t *testing.T) map[string]any {
			return map[string]any{"url": "tls://" + addr(start(t, withServerTLS)), "token": secret}
		}},
		{"no client certificate", "the server wants a client certificate, and we have none", WantsCertificate, func(t *testing.T) map[string]any {
			return map[string]any{"url": "tls://" + addr(start(t, withServerTLS)), "ca": ca.file}
		}},
		{"nobody there", "nothing listens there", Refused, func(t *testing.T) map[string]any {
			return map[string]any{"url": "nats://me:" + secret + "@" + unused(t)}
		}},
		{"no file", "its creds in /nowhere.creds: ", BadFile, func(*testing.T) map[string]any { return map[string]any{"creds": "/nowhere.creds"} }},
		{"no URL", "its url is none of NATS servers", BadFile, func(*testing.T) map[string]any { return map[string]any{"url": "nats://" + secret + "@:\x7f"} }},
		{"plain text", `its login would go to "nats.example" without encryption`, BadFile, func(*testing.T) map[string]any {
			return map[string]any{"url": "nats://nats.example", "token": secret}
		}},
		{"a JWT", `"user_jwt" in it is not supported`, BadFile, func(*testing.T) map[string]any { return map[string]any{"user_jwt": secret} }},
		{"another JetStream", `"jetstream_api_prefix" in it is none of a domain; give it jetstream_domain instead`, BadFile, func(*testing.T) map[string]any {
			return map[string]any{"jetstream_api_prefix": "of.another"}
		}},
		{"half a certificate", "cert and key in it go together", BadFile, func(*testing.T) map[string]any { return map[string]any{"cert": "x"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(testContext(t), Config{Context: writeContext(t, tt.settings(t))})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want %s", err, tt.want)
			}
			if f, ok := errors.AsType[*Failure](err); !ok || f.Problem != tt.problem {
				t.Errorf("%v is %+v, want %s", err, f, tt.problem)
			}
		})
	}
}
