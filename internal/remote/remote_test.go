package remote

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServersAreNamedInFull(t *testing.T) {
	for in, want := range map[string]string{
		"a":                        "nats://a:4222",
		"tls://a, nats://b:99":     "tls://a:4222 nats://b:99",
		"wss://a/path,tls://[::1]": "wss://a/path tls://[::1]:4222",
	} {
		servers, err := parseServers(&Config{URL: in})
		var got []string
		for _, s := range servers {
			got = append(got, s.String())
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestWhatCannotBeUsedIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := newAuthority(t)
	pair, other := ca.issue(t, leaf{}), ca.issue(t, leaf{})
	public := put("public", "secret", 0o644)
	const no = "; correct <"
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"a URL without a host", Config{URL: "nats://u:secret@"}, "NATS server URL: want nats://host:port"},
		{"a URL with a password", Config{URL: "nats://u:secret@h"}, "it has a user or a password in it"},
		{"credentials that are not there", Config{CredentialsFile: "/none"}, "<credentials_file>/none</credentials_file>: no such file or directory" + no},
		{"credentials that are none", Config{CredentialsFile: put("creds", "secret", 0o600)}, "no user JWT is in it"},
		{"a seed that is none", Config{NKeyFile: put("seed", "secret", 0o600)}, "no user's NKey seed (SU...) is in it"},
		{"an empty password", Config{User: "u", PasswordFile: put("empty", "\n", 0o600)}, "it is empty"},
		{"a token that everybody may read", Config{TokenFile: public}, "every user of this host may read or change it, and it holds a secret; make it private: chmod o= " + public},
		{"a directory", Config{TokenFile: dir}, "not a regular file"},
		{"a far too large file", Config{TokenFile: put("large", strings.Repeat("x", keyfile.SizeMax+1), 0o600)}, "larger than 4 MiB"},
		{"a CA that is not there", Config{CA: "/none"}, "<tls_ca>/none</tls_ca>: no such file or directory"},
		{"a CA that is none", Config{CA: put("ca", "secret", 0o644)}, "no certificate in PEM is in it"},
		{"a certificate that is not there", Config{Cert: "/none", Key: pair.key}, "<tls_cert>/none</tls_cert>: no such file"},
		{"a certificate with another's key", Config{Cert: pair.cert, Key: other.key}, "it and <tls_key> are no pair: tls: private key does not match public key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Log = slog.New(slog.DiscardHandler)
			if c.cfg.URL == "" {
				c.cfg.URL = "nats://h"
			}
			r, err := Open(c.cfg)
			if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret ") || err != nil && strings.HasSuffix(err.Error(), "secret") {
				t.Errorf("error tells a secret: %v", err)
			}
		})
	}
}
