package seal

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

const (
	// nodeMember is the member of a JWK with the node whose key it is.
	nodeMember = "pulse_node"
	// formerMember is the member with the names that the node had before.
	formerMember = "pulse_former_nodes"
	// formerNodesMax is how many of these a key may have.
	formerNodesMax = 16
	// keysMax is how many keys a file may have.
	keysMax = 4096
	// fileMax is how long it may be.
	fileMax = 4 << 20
)

// ParseKeys reads keys, public or private: a JWK, or a JWKS, which holds several.
// A key's kid may be missing, else it has to be its RFC 7638 thumbprint. Keys of
// another kind than Pulse's are refused.
func ParseKeys(data []byte) ([]*Key, error) {
	if len(data) > fileMax {
		return nil, fmt.Errorf("seal: read keys: %d bytes, want %d or less", len(data), fileMax)
	}
	var file struct {
		Keys []json.RawMessage `json:"keys"`
		Type string            `json:"kty"`
	}
	err := checkJSON(data)
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	switch {
	case err != nil && !json.Valid(data):
		return nil, errors.New("seal: read keys: no JWK or JWKS: it is no JSON")
	case err != nil:
		return nil, fmt.Errorf("seal: read keys: no JWK or JWKS: %w", hideSecret(err))
	case file.Keys == nil && file.Type == "":
		return nil, errors.New(`seal: read keys: no JWK or JWKS: it has neither "kty" nor "keys"`)
	case file.Keys == nil:
		file.Keys = []json.RawMessage{data}
	case len(file.Keys) > keysMax:
		return nil, fmt.Errorf("seal: read keys: %d keys, want %d or less", len(file.Keys), keysMax)
	}
	keys := make([]*Key, 0, len(file.Keys))
	for i, text := range file.Keys {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("seal: read keys: key %d: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// hideSecret drops what an error of JSON may quote.
func hideSecret(err error) error {
	if errors.Is(err, ErrMalformed) {
		return ErrMalformed
	}
	return errors.New("not as a JWK has it")
}

func parseKey(text []byte) (*Key, error) {
	parsed, err := jwk.ParseKey(text)
	if err != nil {
		return nil, errors.New("not a JWK") // the cause may quote the secret
	}
	if parsed.KeyType() != jwa.OKP() {
		return nil, errNotOurs
	}
	var raw any
	if jwk.Export(parsed, &raw) != nil {
		return nil, errHalves
	}
	k, err := keyFromRaw(raw)
	if err != nil {
		return nil, err
	}
	if parsed.Has(nodeMember) {
		if err := parsed.Get(nodeMember, &k.Node); err != nil || k.Node == "" {
			return nil, fmt.Errorf("%s: want the name of a node", nodeMember)
		}
	}
	if parsed.Has(formerMember) {
		if err := k.setFormerNodes(parsed); err != nil {
			return nil, err
		}
	}
	return k, k.checkMembers(parsed)
}

func (k *Key) setFormerNodes(parsed jwk.Key) error {
	var names []any
	if err := parsed.Get(formerMember, &names); err != nil || len(names) > formerNodesMax || k.Node == "" {
		return fmt.Errorf("%s: want up to %d names of a node, beside %s", formerMember, formerNodesMax, nodeMember)
	}
	for _, name := range names {
		text, _ := name.(string)
		if text == "" {
			return fmt.Errorf("%s: want names of a node", formerMember)
		}
		k.FormerNodes = append(k.FormerNodes, text)
	}
	return nil
}

var errNotOurs = errors.New("want an OKP key on the curve Ed25519 (to sign) or X25519 (to encrypt)")

func keyFromRaw(raw any) (*Key, error) {
	switch raw := raw.(type) {
	case ed25519.PublicKey:
		if len(raw) == ed25519.PublicKeySize {
			return verificationKey(raw), nil
		}
	case ed25519.PrivateKey:
		if len(raw) != ed25519.PrivateKeySize {
			break
		}
		// Signing with a public key that is not the private one's gives it away.
		if k := SigningKey(ed25519.NewKeyFromSeed(raw.Seed())); k.sign.Equal(raw) {
			return k, nil
		}
		return nil, errHalves
	case *ecdh.PublicKey:
		if raw.Curve() == ecdh.X25519() {
			return encryptionKey(raw), nil
		}
	case *ecdh.PrivateKey:
		if raw.Curve() == ecdh.X25519() {
			return decryptionKey(raw), nil
		}
	}
	return nil, errNotOurs
}

var errHalves = errors.New("its x is no public key, or not that of its d")

// checkMembers refuses a JWK whose other members say something else than the key.
func (k *Key) checkMembers(parsed jwk.Key) error {
	var x []byte
	if parsed.Get("x", &x) != nil || string(x) != string(k.publicBytes()) {
		return errHalves
	}
	if id, ok := parsed.KeyID(); ok && id != k.id {
		return fmt.Errorf("its kid is %.60q: want its RFC 7638 thumbprint, %s, or none", id, k.id)
	}
	if use, ok := parsed.KeyUsage(); ok && use != string(k.Use()) {
		return fmt.Errorf("its use is %.20q: this key's is %q", use, k.Use())
	}
	if alg, ok := parsed.Algorithm(); ok && alg.String() != k.algorithm() && alg.String() != "Ed25519" {
		return fmt.Errorf("its alg is %.40q: this key's is %q", alg, k.algorithm())
	}
	return nil
}

func (k *Key) algorithm() string {
	if k.Use() == Signing {
		return algorithmSign
	}
	return algorithmWrap
}

// jwkText is a key as a JWK. The order of its members is that in which they are written.
type jwkText struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	D     string `json:"d,omitempty"`
	ID    string `json:"kid"`
	Use   Use    `json:"use"`
	Alg   string `json:"alg"`
	Node  string `json:"pulse_node,omitempty"`

	FormerNodes []string `json:"pulse_former_nodes,omitempty"`
}

func (k *Key) jwkMembers() jwkText {
	t := jwkText{Type: "OKP", Curve: "Ed25519", X: b64.EncodeToString(k.publicBytes()), ID: k.id, Use: k.Use(), Alg: k.algorithm(), Node: k.Node, FormerNodes: k.FormerNodes}
	if k.Use() == Encryption {
		t.Curve = "X25519"
	}
	return t
}

// MarshalJSON is the public key as a JWK: a secret gets out by [MarshalPrivate] alone.
func (k *Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.jwkMembers()) }

// MarshalKeys is the public JWKS of keys.
func MarshalKeys(keys ...*Key) ([]byte, error) {
	if keys == nil {
		keys = []*Key{}
	}
	return json.MarshalIndent(map[string][]*Key{"keys": keys}, "", "  ")
}

// MarshalPrivate is a private key as a JWK, with its secret.
func MarshalPrivate(k *Key) ([]byte, error) {
	t := k.jwkMembers()
	switch {
	case k.sign != nil:
		t.D = b64.EncodeToString(k.sign.Seed())
	case k.decrypt != nil:
		t.D = b64.EncodeToString(k.decrypt.Bytes())
	default:
		return nil, errors.New("seal: write a private key: it is a public one")
	}
	return json.MarshalIndent(t, "", "  ")
}
