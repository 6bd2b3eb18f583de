package expiry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func certificate(t *testing.T, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTheFirstCertificateOfAFileThatExpiresCounts(t *testing.T) {
	early, late := now.AddDate(0, 0, 10), now.AddDate(0, 0, 20)
	text := append(append(certificate(t, late), "text between\n"...), certificate(t, early)...)
	if got := OfPEM(text); !got.Equal(early) {
		t.Errorf("%v", got)
	}
	for _, text := range []string{"", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if got := OfPEM([]byte(text)); !got.IsZero() {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestWhatExpiresWithinThirtyDaysIsFoundTheFirstOneFirst(t *testing.T) {
	items := []Item{{"a", "a", now.AddDate(0, 0, 31)}, {"b", "b", now.AddDate(0, 0, 29)}, {"c", "the login", now.Add(-time.Hour)}}
	soon := FindSoon(items, now)
	if len(soon) != 2 || soon[0].Code != "c" || soon[1].Code != "b" {
		t.Errorf("%+v", soon)
	}
	if got := soon[0].Describe(now); got != "the login expired on 2026-11-29T11:00:00Z" {
		t.Error(got)
	}
	if got := soon[1].Describe(now); got != "b expires on 2026-12-28T12:00:00Z" {
		t.Error(got)
	}
	if first, ok := First(items); !ok || first.Code != "c" {
		t.Errorf("%+v", first)
	}
	if _, ok := First(nil); ok {
		t.Error("the first of none")
	}
}
