package remote

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

func TestEveryWayInWorks(t *testing.T) {
	ca := newAuthority(t)
	side := func(change ...func(*tls.Config)) *tls.Config { return serverTLS(ca.issue(t, leaf{}), change...) }
	mine := ca.issue(t, leaf{})
	for _, tt := range []struct {
		name string
		way  func(t *testing.T) Config
	}{
		{"nobody, in plain text", func(t *testing.T) Config { return Config{URL: "nats://" + addr(start(t))} }},
		{"a token", func(t *testing.T) Config {
			return Config{URL: addr(start(t, withToken)), TokenFile: secretFile(t, "right\n")}
		}},
		{"a password with TLS 1.3", func(t *testing.T) Config {
			srv := start(t, withUser, withTLS(side()))
			return Config{URL: "tls://" + addr(srv), CA: ca.file, User: "pulse", PasswordFile: secretFile(t, "right\r\n")}
		}},
		{"a password with TLS 1.2, and TLS by the authority alone", func(t *testing.T) Config {
			srv := start(t, withUser, withTLS(side(atMost(tls.VersionTLS12))))
			return Config{URL: "nats://" + addr(srv), CA: ca.file, User: "pulse", PasswordFile: secretFile(t, "right")}
		}},
		{"a certificate for a name", func(t *testing.T) Config {
			srv := start(t, withTLS(serverTLS(ca.issue(t, leaf{host: "localhost"}))))
			return Config{URL: strings.Replace("tls://"+addr(srv), "127.0.0.1", "localhost", 1), CA: ca.file}
		}},
		{"an NKey", func(t *testing.T) Config {
			file, seed := seedFile(t)
			kp, err := nkeys.FromSeed([]byte(seed))
			if err != nil {
				t.Fatal(err)
			}
			srv := start(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public(t, kp)}} })
			return Config{URL: "nats://" + addr(srv), NKeyFile: file}
		}},
		{"credentials over TLS", func(t *testing.T) Config {
			r := newTestOperator(t)
			file, _, _ := r.user(t, r.account, nil)
			return Config{URL: "tls://" + addr(start(t, r.setup(t), withTLS(side()))), CA: ca.file, CredentialsFile: file}
		}},
		{"a client certificate", func(t *testing.T) Config {
			return Config{URL: "tls://" + addr(start(t, withTLS(side(wantsClients(ca))))), CA: ca.file, Cert: mine.cert, Key: mine.key}
		}},
		{"a web socket with TLS, a client certificate and a password", func(t *testing.T) Config {
			srv := start(t, withUser, func(o *server.Options) {
				o.Websocket.Host, o.Websocket.Port, o.Websocket.TLSConfig = "127.0.0.1", server.RANDOM_PORT, side(wantsClients(ca))
			})
			return Config{URL: strings.Replace(srv.WebsocketURL(), "ws://", "wss://", 1), CA: ca.file, Cert: mine.cert, Key: mine.key,
				User: "pulse", PasswordFile: secretFile(t, "right")}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := tt.way(t)
			r, book := open(t, cfg)
			s := session(t, r, book)
			if err := s.Conn.FlushTimeout(testTimeout); err != nil {
				t.Errorf("%v\n%s", err, book)
			}
			state, err := s.Conn.TLSConnectionState()
			if wanted := cfg.CA != "" && !strings.HasPrefix(cfg.URL, "wss"); wanted && (err != nil || state.Version < tls.VersionTLS12) {
				t.Errorf("TLS %x: %v", state.Version, err)
			}
			if n := r.State().Errors; n > 0 {
				t.Errorf("%d errors:\n%s", n, book)
			}
		})
	}
}
