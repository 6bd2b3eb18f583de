package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
)

// Use is what a key is for.
type Use string

const (
	// Signing keys (Ed25519) are the nodes': each has one of its own.
	Signing Use = "sig"
	// Encryption keys (X25519) are the recipients': an XDR platform has one.
	Encryption Use = "enc"
)

// Key is a private or a public key. It never shows its secret when it is printed
// or logged; only [MarshalPrivate] gives it out.
type Key struct {
	// Node is the one whose messages a signing key may sign; "" for any. It is in
	// the JWK as pulse_node.
	Node string
	// FormerNodes are names that the node had before, up to 16: messages under these are
	// its own, too. They are in the JWK as pulse_former_nodes.
	FormerNodes []string

	id      string
	verify  ed25519.PublicKey
	sign    ed25519.PrivateKey
	encrypt *ecdh.PublicKey
	decrypt *ecdh.PrivateKey
}

var b64 = base64.RawURLEncoding.Strict()

// GenerateKey makes a private key.
func GenerateKey(use Use) (*Key, error) {
	switch use {
	case Signing:
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, fmt.Errorf("seal: make a signing key: %w", err)
		}
		return SigningKey(private), nil
	case Encryption:
		private, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("seal: make an encryption key: %w", err)
		}
		return decryptionKey(private), nil
	}
	return nil, fmt.Errorf("seal: make a key: use %q: want %q or %q", use, Signing, Encryption)
}

// SigningKey is the private key that signs with an Ed25519 key, such as that of a
// NATS NKey.
func SigningKey(private ed25519.PrivateKey) *Key {
	k := verificationKey(private.Public().(ed25519.PublicKey))
	k.sign = private
	return k
}

func verificationKey(public ed25519.PublicKey) *Key {
	return &Key{id: computeThumbprint("Ed25519", public), verify: public}
}

func encryptionKey(public *ecdh.PublicKey) *Key {
	return &Key{id: computeThumbprint("X25519", public.Bytes()), encrypt: public}
}

func decryptionKey(private *ecdh.PrivateKey) *Key {
	k := encryptionKey(private.PublicKey())
	k.decrypt = private
	return k
}

// computeThumbprint is that of RFC 7638 with SHA-256, for a key of RFC 8037.
func computeThumbprint(curve string, public []byte) string {
	sum := sha256.Sum256([]byte(`{"crv":"` + curve + `","kty":"OKP","x":"` + b64.EncodeToString(public) + `"}`))
	return b64.EncodeToString(sum[:])
}

// ID is the key's RFC 7638 thumbprint, by which messages name it (kid). A private
// key and its public one have the same.
func (k *Key) ID() string { return k.id }

// Use is what the key is for.
func (k *Key) Use() Use {
	if k.verify != nil {
		return Signing
	}
	return Encryption
}

// Private reports whether the key holds a secret.
func (k *Key) Private() bool { return k.sign != nil || k.decrypt != nil }

// Public is the key without its secret.
func (k *Key) Public() *Key {
	return &Key{Node: k.Node, FormerNodes: slices.Clone(k.FormerNodes), id: k.id, verify: k.verify, encrypt: k.encrypt}
}

// MaySignFor reports whether a signing key may sign messages of a node.
func (k *Key) MaySignFor(node string) bool {
	return k.Node == "" || k.Node == node || slices.Contains(k.FormerNodes, node)
}

// AddName returns the key under another name of its node; the names that it had are former ones from then on, the last
// one first. A key for any node stays one.
func (k *Key) AddName(node string) *Key {
	renamed := *k
	if k.Node == node || k.Node == "" {
		return &renamed
	}
	former := append([]string{k.Node}, k.FormerNodes...)
	former = slices.DeleteFunc(former, func(name string) bool { return name == node })
	renamed.Node, renamed.FormerNodes = node, former[:min(len(former), formerNodesMax)]
	return &renamed
}

// joinNames returns one key of two that are the same: it may sign for the nodes of either.
func (k *Key) joinNames(same *Key) *Key {
	if k.Node == "" || same.Node == "" {
		return &Key{id: k.id, verify: k.verify, encrypt: k.encrypt}
	}
	joined := k.Public()
	for _, name := range append([]string{same.Node}, same.FormerNodes...) {
		if !joined.MaySignFor(name) {
			joined.FormerNodes = append(joined.FormerNodes, name)
		}
	}
	return joined
}

// Equal reports whether both are the same key, private or not.
func (k *Key) Equal(other *Key) bool {
	return k.Use() == other.Use() && bytes.Equal(k.publicBytes(), other.publicBytes())
}

func (k *Key) publicBytes() []byte {
	if k.verify != nil {
		return k.verify
	}
	return k.encrypt.Bytes()
}

// String identifies the key, without its secret.
func (k *Key) String() string {
	kind := "public"
	if k.Private() {
		kind = "private"
	}
	return fmt.Sprintf("%s %s key %s", kind, map[Use]string{Signing: "signing", Encryption: "encryption"}[k.Use()], k.id)
}

// GoString is String: the verb %#v shows no secret either.
func (k *Key) GoString() string { return k.String() }

// Format is String for every verb.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue is String.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
