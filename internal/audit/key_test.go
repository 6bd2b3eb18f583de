package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
)

func TestAKeyIsMadeOnceAndItsPublicHalfStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jwk")
	first, err := OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKey(path)
	if err != nil || again.KeyID() != first.KeyID() {
		t.Fatal(again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := OpenKey(path)
	if err != nil || second.KeyID() == first.KeyID() {
		t.Fatal(second, err)
	}
	keys, err := ReadKeys(PublicPath(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Key{first, second} {
		public := keys(k.KeyID())
		if public == nil || !ed25519.Verify(public, []byte("text"), k.Sign([]byte("text"))) {
			t.Errorf("no public key %s", k.KeyID())
		}
	}
	public, err := os.ReadFile(PublicPath(path))
	if err != nil || strings.Contains(string(public), `"d"`) {
		t.Errorf("%s, %v", public, err)
	}
	if keys, err = ReadKeys(path); err != nil || keys(second.KeyID()) == nil {
		t.Error("of a private key, the public half is not taken:", err)
	}
}

// The key of RFC 8037 appendix A has the thumbprint that the RFC says.
func TestTheThumbprintIsThatOfTheRFC(t *testing.T) {
	keys := make(map[string]ed25519.PublicKey)
	if err := addPublicKeys([]byte(`{"kty":"OKP","crv":"Ed25519","kid":"another","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), keys); err != nil {
		t.Fatal(err)
	}
	if keys["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"] == nil {
		t.Error(keys)
	}
}

func TestAFingerprintTellsContentsApartAndNeedsTheKey(t *testing.T) {
	dir := t.TempDir()
	a, err := OpenKey(filepath.Join(dir, "a.jwk"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenKey(filepath.Join(dir, "b.jwk"))
	if err != nil {
		t.Fatal(err)
	}
	x := a.Fingerprint([]byte("secret"))
	if x != a.Fingerprint([]byte("secret")) || x == a.Fingerprint([]byte("Secret")) || x == b.Fingerprint([]byte("secret")) {
		t.Error("not so")
	}
}

func TestAKeyFileThatIsNotGoodIsRefusedAndNeverQuoted(t *testing.T) {
	const secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
	good := `{"kty":"OKP","crv":"Ed25519","d":"` + secret + `","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"everybody may read it", good, 0o644, "others may read or change it (mode 0644), and it holds a secret: chmod 600 it"},
		{"its group may read it", good, 0o640, "others may read or change it (mode 0640)"},
		{"no JSON", secret, 0o600, "not a JWK"},
		{"another type", strings.Replace(good, "OKP", "EC", 1), 0o600, "not a private Ed25519 JWK"},
		{"too short", strings.Replace(good, secret, secret[4:], 1), 0o600, "not a private Ed25519 JWK"},
		{"halves of two keys", strings.Replace(good, "11q", "21q", 1), 0o600, "do not belong together"},
		{"too large", strings.Repeat(" ", keyfile.SizeMax+1), 0o600, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jwk")
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKey(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), secret[10:20]) {
				t.Error(err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "audit.jwk")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := OpenKey(path); err != nil || k.KeyID() != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Error(k, err)
	}
}

// Whatever is in a file of keys, reading it ends, and what it gives is a key of its name.
func FuzzParseKeys(f *testing.F) {
	k, err := OpenKey(filepath.Join(f.TempDir(), "audit.jwk"))
	if err != nil {
		f.Fatal(err)
	}
	one, err := json.Marshal(publicKeyJWK(k.private.Public().(ed25519.PublicKey)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one)
	f.Add([]byte(`{"keys":[` + string(one) + `,{"kty":"RSA","n":"AQ"}]}`))
	f.Add([]byte(`{"keys":[{"keys":[{}]}]}`))
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"AA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys := make(map[string]ed25519.PublicKey)
		if err := addPublicKeys(text, keys); err == nil && len(keys) == 0 {
			t.Error("no error and no key")
		}
		for kid, public := range keys {
			if len(public) != ed25519.PublicKeySize || computeThumbprint(public) != kid {
				t.Errorf("%s: %x", kid, public)
			}
		}
	})
}
