package remote

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

func TestWhatExpiresOfASessionIsKnownWithItsTime(t *testing.T) {
	soon := time.Now().Add(10 * 24 * time.Hour).Truncate(time.Second)
	ca, r := newAuthorityUntil(t, soon.Add(time.Hour)), newTestOperator(t)
	server, client := ca.issue(t, leaf{expires: soon}), ca.issue(t, leaf{expires: soon.Add(time.Minute)})
	s := start(t, r.setup(t), withTLS(serverTLS(server, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool })))
	creds, _, _ := r.user(t, r.account, func(c *jwt.UserClaims) { c.Name, c.Expires = "node01", soon.Add(2*time.Minute).Unix() })
	cfg := Config{URL: "tls://" + addr(s), CA: ca.file, Cert: client.cert, Key: client.key, CredentialsFile: creds}
	remote, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	if _, err := remote.Session(testContext(t)); err != nil {
		t.Fatal(err)
	}
	got := map[string]time.Time{}
	for _, i := range remote.Expiries() {
		got[i.Code] = i.At
		if i.Code == "credentials_file" && !strings.Contains(i.What, `the login of user "node01"`) {
			t.Errorf("%s", i.What)
		}
	}
	for code, want := range map[string]time.Time{"server_certificate": soon, "server_authority": soon.Add(time.Hour), "tls_cert": soon.Add(time.Minute), "credentials_file": soon.Add(2 * time.Minute)} {
		if !got[code].Equal(want) {
			t.Errorf("%s: %v, want %v", code, got[code], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%v", got)
	}
	plain, err := Dial(testContext(t), Config{URL: "nats://" + addr(start(t))})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Conn.Close()
	if items := plain.Expiries(); len(items) > 0 {
		t.Errorf("of a connection without a login or TLS: %+v", items)
	}
}
