package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"
)

// Decrypter reads what is encrypted for one of its keys.
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
		return nil, errors.New("decrypt: there is no private encryption key among the keys")
	}
	return d, nil
}

// IsEncrypted tells an envelope from JSON in the clear: the compact form is no
// JSON, and of the general form's members no message has any.
func IsEncrypted(data []byte) bool {
	if !isJSON(data) {
		return bytes.Count(data, []byte(".")) == 4
	}
	var members struct {
		Recipients json.RawMessage `json:"recipients"`
	}
	return bytes.Contains(data, []byte(`"recipients"`)) && json.Unmarshal(data, &members) == nil && members.Recipients != nil
}

// Decrypt returns the content of an envelope. It says nothing of who made it: anyone
// can encrypt for a public key, so verify the signature first.
func (d *Decrypter) Decrypt(envelope []byte) ([]byte, error) {
	e, err := parseEnvelope(envelope)
	if err != nil {
		return nil, fmt.Errorf("read the envelope: %w", err)
	}
	for i := range e.recipients {
		if k := d.keys[e.recipients[i].header.KeyID]; k != nil {
			return e.open(i, k)
		}
	}
	return nil, ErrNotRecipient
}

// open decrypts for one recipient. The library sees no other: it would try them all.
func (e *envelope) open(i int, k *Key) ([]byte, error) {
	content, err := jwe.Decrypt(e.only(i), jwe.WithKey(jwa.ECDH_ES_A256KW(), k.decrypt))
	if err != nil {
		return nil, fmt.Errorf("%w for %s", ErrUndecryptable, k.id)
	}
	return content, nil
}

// isJSON tells the two forms of an envelope apart.
func isJSON(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) }
