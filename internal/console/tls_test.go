package console

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// writeCertificate writes a certificate with a serial number and its key.
func writeCertificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"pulse.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, text, text, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestOverTLSWithTheTokenEverythingIsTold(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	_, shown := withToken(t)
	s := openFixture(t, 1, shown, func(c *Config, _ *detector.Settings) { c.CertFile, c.KeyFile = cert, key })
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	ask := func() int64 {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		r, _ := http.NewRequest(http.MethodGet, s.url+"/api/v1/agents", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s", answer.Status)
		}
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if ask() != 1 {
		t.Error("another certificate")
	}
	writeCertificate(t, filepath.Dir(cert), 2)
	s.server.certFiles.readChanged()
	if ask() != 2 {
		t.Error("the certificate that was renewed is not used")
	}
	old := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}}}
	if _, err := old.Get(s.url + "/"); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

// On loopback no token is needed, and the certificate is used all the same: the commands of this host expect it.
func TestACertificateWithoutATokenIsUsed(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 3)
	s := openFixture(t, 1, func(c *Config, _ *detector.Settings) { c.CertFile, c.KeyFile = cert, key })
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Get(strings.Replace(s.url, "http:", "https:", 1) + "/api/v1/agents")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.TLS.PeerCertificates[0].SerialNumber.Int64() != 3 {
		t.Errorf("%s", answer.Status)
	}
}

func TestFilesOfTheConsoleThatCannotBeUsedAreFoundBeforeTheStart(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	_, other := writeCertificate(t, t.TempDir(), 2)
	short := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(short, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckFiles("", cert, key); err != nil {
		t.Error(err)
	}
	if err := CheckFiles(short, cert, other); err == nil || !strings.Contains(err.Error(), "private key does not match") || !strings.Contains(err.Error(), "has 3 characters") {
		t.Error(err)
	}
}

func TestACertificateThatCannotBeUsedIsNamed(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	if _, err := openCertificateFiles(cert, cert, nil); err == nil || !strings.Contains(err.Error(), "<pulse><http_cert>") {
		t.Error(err)
	}
	if _, err := openCertificateFiles(key, key, nil); err == nil {
		t.Error("a key for a certificate")
	}
}
