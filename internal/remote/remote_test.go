package remote

import (
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"nats://u:p@a:4222":          "nats://a:4222",
		"tls://token@a, nats://b":    "tls://a,nats://b",
		"a:4222":                     "nats://a:4222",
		"u:p@a:4222,nats://u:p@b:99": "nats://a:4222,nats://b:99",
	} {
		if got, err := redact(in); got != want || err != nil {
			t.Errorf("redact(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestWhatCannotBeUsedIsRefusedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"a URL without a host", Config{URL: "nats://u:secret@"}, "NATS server URL: want nats://host:port"},
		{"credentials that are not there", Config{URL: "nats://h", CredentialsFile: "/none"}, "read NATS credentials: open /none"},
		{"a CA that is not there", Config{URL: "nats://h", CA: "/none"}, "open /none"},
		{"a certificate that is not there", Config{URL: "nats://h", Cert: "/none", Key: "/none"}, "open /none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Log = slog.New(slog.DiscardHandler)
			r, err := Open(c.cfg)
			if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error tells a password: %v", err)
			}
		})
	}
}
