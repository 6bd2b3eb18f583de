package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// SignatureHeader is the header of a message that holds its signature.
const SignatureHeader = "Pulse-Signature"

const algorithmSign = "EdDSA"

// Signer signs messages.
type Signer struct {
	key    *Key
	header string
}

// NewSigner returns one that signs with a private signing key.
func NewSigner(k *Key) (*Signer, error) {
	if k.sign == nil {
		return nil, fmt.Errorf("seal: sign with the %v: want a private signing key", k)
	}
	return &Signer{k, signatureHeaderOf(k)}, nil
}

// signatureHeaderOf is the protected header of all of a key's signatures. It is the same
// for every message, so it is not parsed but compared.
func signatureHeaderOf(k *Key) string {
	return b64.EncodeToString([]byte(`{"alg":"` + algorithmSign + `","b64":false,"crit":["b64"],"kid":"` + k.id + `"}`))
}

// Key is the one it signs with.
func (s *Signer) Key() *Key { return s.key.Public() }

// Sign returns the signature of what is sent, for the header [SignatureHeader]. It
// is a JWS in compact form with a payload that is detached and not encoded.
func (s *Signer) Sign(payload []byte) string {
	in := signingInputs.Get().(*[]byte)
	defer signingInputs.Put(in)
	*in = appendSigningInput((*in)[:0], s.header, payload)
	var encoded [signatureLen]byte
	b64.Encode(encoded[:], ed25519.Sign(s.key.sign, *in))
	var out strings.Builder
	out.Grow(len(s.header) + 2 + signatureLen)
	out.WriteString(s.header)
	out.WriteString("..")
	out.Write(encoded[:])
	return out.String()
}

// signingInputs are buffers for what is signed: as much as all messages would be garbage without.
var signingInputs = sync.Pool{New: func() any { return new([]byte) }}

// signatureLen is that of a signature's base64.
const signatureLen = 86

// appendSigningInput appends what is signed, by RFC 7797, section 3.
func appendSigningInput(dst []byte, header string, payload []byte) []byte {
	return append(append(append(dst, header...), '.'), payload...)
}

// Verifier has the keys that messages may be signed with.
type Verifier struct {
	keys map[string]*Key // by the header of their signatures
}

// NewVerifier returns one that trusts the signing keys among these: the nodes',
// the present ones and, while messages that they signed are still read, the former ones.
// A key that is among them several times, under different names, may sign for all of these.
func NewVerifier(keys ...*Key) (*Verifier, error) {
	v := &Verifier{make(map[string]*Key, len(keys))}
	for _, k := range keys {
		if k.Use() != Signing {
			continue
		}
		header, public := signatureHeaderOf(k), k.Public()
		if same := v.keys[header]; same != nil {
			public = same.joinNames(public)
		}
		v.keys[header] = public
	}
	if len(v.keys) == 0 {
		return nil, errors.New("seal: verify: there is no signing key among the keys")
	}
	return v, nil
}

// Verify returns the key with which the payload, as it was received, was signed.
func (v *Verifier) Verify(signature string, payload []byte) (*Key, error) {
	if signature == "" {
		return nil, ErrUnsigned
	}
	header, encoded, ok := strings.Cut(signature, "..")
	k := v.keys[header]
	if k == nil || !ok {
		return nil, v.explainRefusal(signature)
	}
	var raw [ed25519.SignatureSize]byte
	if len(encoded) != signatureLen {
		return nil, fmt.Errorf("%w: a signature of %d characters, want %d", ErrBadSignature, len(encoded), signatureLen)
	}
	if n, err := b64.Decode(raw[:], []byte(encoded)); err != nil || n != len(raw) {
		return nil, fmt.Errorf("%w: it is no base64url of 64 bytes", ErrBadSignature)
	}
	if !ed25519.Verify(k.verify, appendSigningInput(nil, header, payload), raw[:]) {
		return nil, ErrBadSignature
	}
	return k, nil
}

// explainRefusal returns what is wrong with a signature that has the header of no key.
func (v *Verifier) explainRefusal(signature string) error {
	if len(signature) > 1024 {
		return fmt.Errorf("%w: a signature of %d characters", ErrMalformed, len(signature))
	}
	encoded, rest, _ := strings.Cut(signature, ".")
	if payload, _, ok := strings.Cut(rest, "."); !ok || payload != "" {
		return fmt.Errorf("%w: the signature is no detached JWS", ErrMalformed)
	}
	text, err := b64.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("%w: the signature's header is no base64url", ErrMalformed)
	}
	var header struct {
		Algorithm string   `json:"alg"`
		Encoded   *bool    `json:"b64"`
		Critical  []string `json:"crit"`
		KeyID     string   `json:"kid"`
	}
	switch err := unmarshalStrict(text, &header); {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrForbiddenHeader, err)
	case header.Algorithm != algorithmSign:
		return fmt.Errorf("%w: alg %.20q", ErrForbiddenHeader, header.Algorithm)
	case header.Encoded == nil || *header.Encoded || len(header.Critical) != 1 || header.Critical[0] != "b64":
		return fmt.Errorf("%w: want b64 false, and critical", ErrForbiddenHeader)
	case b64.EncodeToString([]byte(`{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"`+header.KeyID+`"}`)) != encoded:
		return fmt.Errorf("%w: not in the order or form of Pulse's", ErrForbiddenHeader)
	}
	return fmt.Errorf("%w: %.60q", ErrUnknownKey, header.KeyID)
}
