package seal

import (
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

// The Content-Type header of encrypted messages, for one recipient and for several.
const (
	TypeCompact = "application/jose"
	TypeGeneral = "application/jose+json"
)

const (
	algorithmWrap    = "ECDH-ES+A256KW"
	algorithmContent = "A256GCM"
	// recipientsMax is how many an envelope may have: each costs a key agreement.
	recipientsMax = 64
)

// Encrypter encrypts messages for its recipients.
type Encrypter struct {
	options []jwe.EncryptOption
	to      []*Key
}

// NewEncrypter returns one that encrypts for the encryption keys among these.
func NewEncrypter(keys ...*Key) (*Encrypter, error) {
	e := &Encrypter{options: []jwe.EncryptOption{jwe.WithContentEncryption(jwa.A256GCM())}}
	known := make(map[string]bool)
	for _, k := range keys {
		if k.Use() != Encryption || known[k.id] {
			continue
		}
		known[k.id] = true
		public, err := jwk.Import(k.encrypt)
		if err == nil {
			err = public.Set(jwk.KeyIDKey, k.id)
		}
		if err != nil {
			return nil, fmt.Errorf("encrypt for %s: %w", k.id, err)
		}
		e.options = append(e.options, jwe.WithKey(jwa.ECDH_ES_A256KW(), public))
		e.to = append(e.to, k.Public())
	}
	switch {
	case len(e.to) == 0:
		return nil, errors.New("encrypt: there is no encryption key among the keys")
	case len(e.to) > recipientsMax:
		return nil, fmt.Errorf("encrypt: %d recipients, want %d or fewer", len(e.to), recipientsMax)
	case len(e.to) > 1:
		e.options = append(e.options, jwe.WithJSON())
	}
	return e, nil
}

// Recipients are the keys it encrypts for.
func (e *Encrypter) Recipients() []*Key { return e.to }

// ContentType is that of what it makes.
func (e *Encrypter) ContentType() string {
	if len(e.to) > 1 {
		return TypeGeneral
	}
	return TypeCompact
}

// Encrypt returns the envelope of a payload: a JWE with a new key, in compact form
// for one recipient, in general JSON form for several.
func (e *Encrypter) Encrypt(payload []byte) ([]byte, error) {
	envelope, err := jwe.Encrypt(payload, e.options...)
	if err != nil {
		return nil, fmt.Errorf("encrypt for %d recipients: %w", len(e.to), err)
	}
	return envelope, nil
}
