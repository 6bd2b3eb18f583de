package seal

import (
	"bytes"
	"encoding/json"
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
	options    []jwe.EncryptOption
	recipients []*Key
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
			return nil, fmt.Errorf("seal: encrypt for %s: %w", k.id, err)
		}
		e.options = append(e.options, jwe.WithKey(jwa.ECDH_ES_A256KW(), public))
		e.recipients = append(e.recipients, k.Public())
	}
	switch {
	case len(e.recipients) == 0:
		return nil, errors.New("seal: encrypt: there is no encryption key among the keys")
	case len(e.recipients) > recipientsMax:
		return nil, fmt.Errorf("seal: encrypt: %d recipients, want %d or fewer", len(e.recipients), recipientsMax)
	case len(e.recipients) > 1:
		e.options = append(e.options, jwe.WithJSON())
	}
	return e, nil
}

// Recipients are the keys it encrypts for.
func (e *Encrypter) Recipients() []*Key { return e.recipients }

// ContentType is that of what it makes.
func (e *Encrypter) ContentType() string {
	if len(e.recipients) > 1 {
		return TypeGeneral
	}
	return TypeCompact
}

// Encrypt returns the envelope of a payload: a JWE with a new key, in compact form
// for one recipient, in general JSON form for several.
func (e *Encrypter) Encrypt(payload []byte) ([]byte, error) {
	envelope, err := jwe.Encrypt(payload, e.options...)
	if err != nil {
		return nil, fmt.Errorf("seal: encrypt for %d recipients: %w", len(e.recipients), err)
	}
	return envelope, nil
}

// Decrypter decrypts messages for one of its keys.
type Decrypter struct {
	keys map[string]*Key
}

// NewDecrypter returns one with the private encryption keys among these: the
// present one, and former ones while messages for them are still read.
func NewDecrypter(keys ...*Key) (*Decrypter, error) {
	d := &Decrypter{make(map[string]*Key, len(keys))}
	for _, k := range keys {
		if k.decrypt != nil {
			d.keys[k.id] = k
		}
	}
	if len(d.keys) == 0 {
		return nil, errors.New("seal: decrypt: there is no private encryption key among the keys")
	}
	return d, nil
}

// IsEncrypted reports whether data is an envelope: the compact form is no JSON, and no
// message in the clear has the members of the general form.
func IsEncrypted(data []byte) bool {
	if !isJSON(data) {
		return bytes.Count(data, []byte(".")) == 4
	}
	var members struct {
		Recipients json.RawMessage `json:"recipients"`
	}
	return bytes.Contains(data, []byte(`"recipients"`)) && json.Unmarshal(data, &members) == nil && members.Recipients != nil
}

// Decrypt returns the content of an envelope. Anyone can encrypt for a public
// key: verify the signature first.
func (d *Decrypter) Decrypt(envelope []byte) ([]byte, error) {
	e, err := parseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	for i := range e.recipients {
		if k := d.keys[e.recipients[i].header.KeyID]; k != nil {
			return e.decryptFor(i, k)
		}
	}
	return nil, ErrNotRecipient
}

// decryptFor decrypts for one recipient. The library gets no other: it would try them all.
func (e *envelope) decryptFor(i int, k *Key) ([]byte, error) {
	content, err := jwe.Decrypt(e.onlyRecipient(i), jwe.WithKey(jwa.ECDH_ES_A256KW(), k.decrypt))
	if err != nil {
		return nil, fmt.Errorf("%w for %s", ErrUndecryptable, k.id)
	}
	return content, nil
}

// isJSON reports whether an envelope is in the general form.
func isJSON(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) }
