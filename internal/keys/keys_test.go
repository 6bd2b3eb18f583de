package keys

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/seal"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAMissingSigningKeyIsMadeAndStays(t *testing.T) {
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	first, err := f.OpenSigning()
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.OpenSigning()
	if err != nil || !again.Equal(first) || again.Node != "node01" {
		t.Errorf("%v, then %v: %v", first, again, err)
	}
	if public, err := f.ReadPublicKeys(); err != nil || len(public) != 1 || !public[0].Equal(first) || public[0].Private() || public[0].Node != "node01" {
		t.Errorf("public: %v, %v", public, err)
	}
	if _, err := f.GenerateSigning(); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a key that is there was made anew: %v", err)
	}
	none, err := f.OpenReading(false)
	if err != nil || none != nil {
		t.Errorf("%v, %v", none, err)
	}
	if k, err := f.OpenReading(true); err != nil || k.Use() != seal.Encryption {
		t.Errorf("%v, %v", k, err)
	}
}

func TestARotationKeepsTheFormerKeysPublic(t *testing.T) {
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	if _, err := f.RotateSigning(false); err == nil || !strings.Contains(err.Error(), "pulse keys generate") {
		t.Errorf("without a key: %v", err)
	}
	var made []*seal.Key
	k, err := f.OpenSigning()
	for range 3 {
		if err != nil {
			t.Fatal(err)
		}
		made = append([]*seal.Key{k}, made...)
		k, err = f.RotateSigning(false)
	}
	made = append([]*seal.Key{k}, made...)
	public, err := f.ReadPublicKeys()
	if err != nil || len(public) != len(made) {
		t.Fatalf("%v, %v", public, err)
	}
	for i := range made {
		if !public[i].Equal(made[i]) {
			t.Errorf("public key %d is %v, want %v", i, public[i], made[i])
		}
	}
	if now, err := f.OpenSigning(); err != nil || !now.Equal(k) {
		t.Errorf("in use: %v, %v", now, err)
	}
	last, err := f.RotateSigning(true)
	if public, _ := f.ReadPublicKeys(); err != nil || len(public) != 2 || !public[0].Equal(last) || !public[1].Equal(k) {
		t.Errorf("forgotten: %v, %v", public, err)
	}
	for range 2 * formerMax {
		if _, err := f.RotateSigning(false); err != nil {
			t.Fatal(err)
		}
	}
	if public, err := f.ReadPublicKeys(); err != nil || len(public) != formerMax+1 {
		t.Errorf("%d public keys, %v", len(public), err)
	}
}

func TestWhatRootMakesBelongsToTheService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	const service = 64321
	f := &Files{Node: "node01", StateDir: t.TempDir()}
	if err := os.Chown(f.StateDir, service, service); err != nil {
		t.Fatal(err)
	}
	owned := func(path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if of := info.Sys().(*syscall.Stat_t); of.Uid != service || of.Gid != service {
			t.Errorf("%s belongs to %d:%d", filepath.Base(path), of.Uid, of.Gid)
		}
	}
	if _, err := f.GenerateSigning(); err != nil {
		t.Fatal(err)
	}
	owned(f.SigningPath())
	owned(f.PublicPath())
	if err := os.Chown(f.StateDir, 0, 0); err != nil { // now it is the file's owner that counts
		t.Fatal(err)
	}
	if _, err := f.RotateSigning(false); err != nil {
		t.Fatal(err)
	}
	owned(f.SigningPath())
	owned(f.PublicPath())
}

func TestAnNKeySeedSigns(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	for _, text := range []string{string(seed), "-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n"} {
		f := &Files{Node: "node01", StateDir: t.TempDir()}
		if err := os.WriteFile(f.SigningPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := f.OpenSigning()
		if err != nil {
			t.Fatal(err)
		}
		signer, err := seal.NewSigner(k)
		if err != nil {
			t.Fatal(err)
		}
		public, err := f.ReadPublicKeys()
		if err != nil {
			t.Fatal(err)
		}
		v, err := seal.NewVerifier(public...)
		if err != nil {
			t.Fatal(err)
		}
		if by, err := v.Verify(signer.Sign([]byte("x")), []byte("x")); err != nil || by.Node != "node01" {
			t.Errorf("%v, %v", by, err)
		}
		if _, err := f.RotateSigning(false); err == nil || !strings.Contains(err.Error(), "nsc") {
			t.Errorf("rotated: %v", err)
		}
	}
}

func TestFilesThatWillNotDoAreRefusedWithoutTheirSecret(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private.jwk")
	if _, err := CreatePrivate(private, seal.Signing); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(private)
	_, secret, _ := strings.Cut(string(text), `"d": "`)
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wide := write("wide.jwk", string(text), 0o604)
	broken := write("broken.jwk", string(text)[:len(text)-4], 0o600)
	set := write("set.jwk", `{"keys":[]}`, 0o600)
	for path, want := range map[string]string{wide: "chmod 600", broken: "no JWK", set: "want one private key", dir: "not a regular file", filepath.Join(dir, "none"): "no such file"} {
		_, err := ReadPrivate(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := ReadPublic(private); err == nil || !strings.Contains(err.Error(), "private one") {
		t.Errorf("a private key as a public one: %v", err)
	}
	f := &Files{StateDir: dir, Signing: private}
	if err := os.WriteFile(f.PublicPath(), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.OpenSigning(); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("a broken public file: %v", err)
	}
}
