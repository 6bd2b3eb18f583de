package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate writes a certificate for the console, and its key.
func writeCertificate(t *testing.T, dir string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "console.crt"), filepath.Join(dir, "console.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestACertificateThatExpiresWithinThirtyDaysIsAConditionAndAMetric(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		days int
		want bool
	}{{29, true}, {31, false}} {
		cfg := testSettings(t)
		until := time.Now().AddDate(0, 0, tt.days).Truncate(time.Second)
		cfg.Pulse.HTTPCert, cfg.Pulse.HTTPKey = writeCertificate(t, cfg.Pulse.Home, until)
		h := startTestNode(t, cfg)
		s := h.node.Status()
		problem := "the console's certificate (<http_cert>) expires on " + until.UTC().Format(time.RFC3339)
		if on := strings.Contains(strings.Join(s.Health.Warnings, "\n"), problem); on != tt.want || len(s.Health.Failures) > 0 {
			t.Errorf("in %d days: %+v", tt.days, s.Health)
		}
		if at := h.node.readMetrics().Expiries["http_cert"]; at != until.Unix() {
			t.Errorf("metric: %d, want %d", at, until.Unix())
		}
	}
}

// A certificate that was replaced is no longer warned of.
func TestACertificateThatWasReplacedIsReadAgain(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	cfg := testSettings(t)
	cfg.Pulse.HTTPCert, cfg.Pulse.HTTPKey = writeCertificate(t, dir, now.AddDate(0, 0, 5))
	c := expiryCache{cfg: *cfg}
	before := c.list(now)
	writeCertificate(t, dir, now.AddDate(1, 0, 0))
	if after := c.list(now.Add(expiryPeriod)); len(before) != 1 || len(after) != 1 || !after[0].At.After(before[0].At) {
		t.Errorf("%v, %v", before, after)
	}
	if cfg.Pulse.HTTP = ""; len(ListFileExpiries(cfg)) > 0 {
		t.Error("of a console that is off")
	}
}
