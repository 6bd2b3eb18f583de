package audit

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// Key is a private key that signs checkpoints. It is a [Signer].
type Key struct {
	private ed25519.PrivateKey
	id      string
	older   map[string]ed25519.PublicKey // by ID

	fileMu    sync.Mutex // of what follows
	path      string
	unwritten bool // it is not in its file yet
	published bool // it is among the public keys
}

// KeyID is the RFC 7638 thumbprint.
func (k *Key) KeyID() string { return k.id }

// Sign signs with Ed25519.
func (k *Key) Sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

// Public returns the public key with an ID, if that is this key's or a former one's.
func (k *Key) Public(kid string) ed25519.PublicKey {
	if kid == k.id {
		return k.private.Public().(ed25519.PublicKey)
	}
	return k.older[kid]
}

// Fingerprint identifies the content of a file. Without the key it reveals nothing about
// the content.
func (k *Key) Fingerprint(content []byte) string {
	mac := hmac.New(sha256.New, k.private.Seed())
	mac.Write([]byte("pulse audit fingerprint 1\n"))
	mac.Write(content)
	return base64URL.EncodeToString(mac.Sum(nil)[:12])
}

// jwk is a key of RFC 8037, and a set of RFC 7517.
type jwk struct {
	Type    string `json:"kty,omitempty"`
	Curve   string `json:"crv,omitempty"`
	Use     string `json:"use,omitempty"`
	Alg     string `json:"alg,omitempty"`
	ID      string `json:"kid,omitempty"`
	Public  string `json:"x,omitempty"`
	Private string `json:"d,omitempty"`
	Keys    []jwk  `json:"keys,omitempty"`
}

// computeThumbprint is the key's by RFC 7638.
func computeThumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, base64URL.EncodeToString(public)))
	return digest(sum).String()
}

func publicKeyJWK(public ed25519.PublicKey) jwk {
	return jwk{Type: "OKP", Curve: "Ed25519", Use: "sig", Alg: "EdDSA", ID: computeThumbprint(public), Public: base64URL.EncodeToString(public)}
}

// publicKey returns the public key, nil if it is of another kind.
func (j *jwk) publicKey() (ed25519.PublicKey, error) {
	if j.Type != "OKP" || j.Curve != "Ed25519" {
		return nil, nil
	}
	x, err := base64URL.DecodeString(j.Public)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("its member x is no Ed25519 public key")
	}
	return x, nil
}

// OpenKey reads the private key in a file as [ReadKey] does, or makes one. Beside it, in a set with the ending .jwks, is the
// public key, and that of every key that was there before. On a full disk, the key is in
// memory only until [Key.WriteFiles] succeeds.
func OpenKey(path string) (*Key, error) {
	k, err := ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = makeKey()
	}
	if err != nil {
		return nil, fmt.Errorf("the audit log's key: %w", err)
	}
	k.path = path
	if err := k.WriteFiles(); err != nil && !statedir.IsFull(err) {
		return nil, err
	}
	return k, nil
}

// WriteFiles writes the key's files, as far as they are not written: for [Config.Ready].
func (k *Key) WriteFiles() error {
	k.fileMu.Lock()
	defer k.fileMu.Unlock()
	if k.unwritten {
		j := publicKeyJWK(k.private.Public().(ed25519.PublicKey))
		j.Private = base64URL.EncodeToString(k.private.Seed())
		if err := writeJWKFile(k.path, j, 0o600, true); err != nil {
			return fmt.Errorf("the audit log's key: %w", err)
		}
		k.unwritten = false
	}
	if !k.published {
		if err := k.addToPublicKeys(PublicPath(k.path)); err != nil {
			return fmt.Errorf("the audit log's public keys: %w", err)
		}
		k.published = true
	}
	return nil
}

// PublicPath returns the path of the public keys for that of a private one.
func PublicPath(path string) string { return path[:len(path)-len(filepath.Ext(path))] + ".jwks" }

// ReadKey reads the private key in a file. A file that others than its owner may
// read is refused.
func ReadKey(path string) (*Key, error) {
	text, err := keyfile.Read(path, keyfile.Private)
	if err != nil {
		return nil, err
	}
	var j jwk
	if json.Unmarshal(text, &j) != nil { // whose error may quote it
		return nil, fmt.Errorf("%s: not a JWK", path)
	}
	seed, err := base64URL.DecodeString(j.Private)
	if j.Type != "OKP" || j.Curve != "Ed25519" || err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s: not a private Ed25519 JWK (kty OKP, crv Ed25519, d)", path)
	}
	k := newKey(ed25519.NewKeyFromSeed(seed))
	if j.Public != base64URL.EncodeToString(k.private.Public().(ed25519.PublicKey)) {
		return nil, fmt.Errorf("%s: its members d and x do not belong together", path)
	}
	return k, nil
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{private: private, id: computeThumbprint(private.Public().(ed25519.PublicKey)), older: map[string]ed25519.PublicKey{}}
}

func makeKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	k := newKey(private)
	k.unwritten = true
	return k, nil
}

// addToPublicKeys adds the public key to a set if it is not in it, and reads the former ones.
func (k *Key) addToPublicKeys(path string) error {
	var set jwk
	text, err := keyfile.Read(path, keyfile.Public)
	if err == nil {
		if err := json.Unmarshal(text, &set); err != nil {
			return fmt.Errorf("%s is no JWKS: %w; delete it, if you need no older keys", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := false
	for _, j := range set.Keys {
		if public, err := j.publicKey(); err == nil && public != nil {
			k.older[computeThumbprint(public)] = public
		}
		there = there || j.ID == k.id
	}
	if there {
		return nil
	}
	set.Keys = append(set.Keys, publicKeyJWK(k.private.Public().(ed25519.PublicKey)))
	return writeJWKFile(path, set, 0o644, false)
}

func writeJWKFile(path string, content jwk, mode fs.FileMode, fresh bool) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return keyfile.Write(path, text, mode, fresh)
}

// ReadKeys reads the public keys of JWK and JWKS files, for [Check]. Of a private
// key it returns the public half. Keys that are not Ed25519 are skipped.
func ReadKeys(paths ...string) (func(kid string) ed25519.PublicKey, error) {
	keys := make(map[string]ed25519.PublicKey)
	for _, path := range paths {
		text, err := keyfile.Read(path, keyfile.Public)
		if err == nil {
			err = addPublicKeys(text, keys)
		}
		if err != nil {
			return nil, fmt.Errorf("read public keys from %s: %w", path, err)
		}
	}
	return func(kid string) ed25519.PublicKey { return keys[kid] }, nil
}

// addPublicKeys adds the keys of a file. A key's ID is its thumbprint, whatever kid
// the file has.
func addPublicKeys(text []byte, keys map[string]ed25519.PublicKey) error {
	var j jwk
	if json.Unmarshal(text, &j) != nil { // whose error may quote a private key
		return errors.New("not a JWK or JWKS")
	}
	found := false
	for _, one := range append(j.Keys, j) {
		public, err := one.publicKey()
		if err != nil {
			return err
		}
		if public != nil {
			keys[computeThumbprint(public)], found = public, true
		}
	}
	if !found {
		return errors.New("it has no Ed25519 key")
	}
	return nil
}
