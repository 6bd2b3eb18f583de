package seal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
)

// envelope is a JWE whose headers ask for nothing but what Pulse's do.
type envelope struct {
	compact    []byte // the whole of it, if it is in compact form
	general    generalForm
	recipients []recipient
}

// recipient is to whom the content's key is given, and how.
type recipient struct {
	text   json.RawMessage
	header wrapHeader
}

// wrapHeader is how the key of a content is encrypted.
type wrapHeader struct {
	Algorithm string        `json:"alg"`
	KeyID     string        `json:"kid"`
	Ephemeral *ephemeralKey `json:"epk"`
}

type ephemeralKey struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
}

// generalForm is RFC 7516, section 7.2.1. The order of its members is that in which they are written.
type generalForm struct {
	Ciphertext string            `json:"ciphertext"`
	IV         string            `json:"iv"`
	Protected  string            `json:"protected"`
	Recipients []json.RawMessage `json:"recipients"`
	Tag        string            `json:"tag"`
}

func parseEnvelope(data []byte) (*envelope, error) {
	if len(data) > sizeMax {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	}
	if isJSON(data) {
		return parseGeneral(data)
	}
	return parseCompact(data)
}

// parseCompact reads RFC 7516, section 7.1: its one header is protected.
func parseCompact(data []byte) (*envelope, error) {
	parts := bytes.Split(data, []byte("."))
	if len(parts) != 5 {
		return nil, fmt.Errorf("%w: neither of a JWE's two forms", ErrMalformed)
	}
	for _, p := range parts {
		if err := checkBase64URL(string(p)); err != nil {
			return nil, err
		}
	}
	var header struct {
		wrapHeader
		Encryption string `json:"enc"`
	}
	if err := decodeHeader(string(parts[0]), &header); err != nil {
		return nil, err
	}
	r := recipient{header: header.wrapHeader}
	if err := cmp.Or(r.checkHeader(), checkContent(header.Encryption)); err != nil {
		return nil, err
	}
	return &envelope{compact: data, recipients: []recipient{r}}, nil
}

// parseGeneral reads the form with several recipients. Their headers are not
// protected by the encryption; the signature around all of it protects them.
func parseGeneral(data []byte) (*envelope, error) {
	e := new(envelope)
	if err := unmarshalStrict(data, &e.general); err != nil {
		return nil, err
	}
	g := &e.general
	for _, p := range []string{g.Ciphertext, g.IV, g.Protected, g.Tag} {
		if err := checkBase64URL(p); err != nil {
			return nil, err
		}
	}
	var header struct {
		Encryption string `json:"enc"`
	}
	if err := decodeHeader(g.Protected, &header); err != nil {
		return nil, err
	}
	if err := checkContent(header.Encryption); err != nil {
		return nil, err
	}
	if n := len(g.Recipients); n == 0 || n > recipientsMax {
		return nil, fmt.Errorf("%w: %d recipients", ErrMalformed, n)
	}
	for _, text := range g.Recipients {
		r := recipient{text: text}
		body := struct {
			Header *wrapHeader `json:"header"`
			Key    string      `json:"encrypted_key"`
		}{Header: &r.header}
		if err := unmarshalStrict(text, &body); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrForbiddenHeader, err)
		}
		if err := r.checkHeader(); err != nil {
			return nil, err
		}
		e.recipients = append(e.recipients, r)
	}
	return e, nil
}

// decodeHeader decodes a header with no other members than into has: no zip, whose
// content could be far larger, no crit, no key of its own.
func decodeHeader(encoded string, into any) error {
	text, err := b64.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("%w: the header is no base64url", ErrMalformed)
	}
	if err := unmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%w: %w", ErrForbiddenHeader, err)
	}
	return nil
}

func (r *recipient) checkHeader() error {
	h := &r.header
	switch {
	case h.Algorithm != algorithmWrap:
		return fmt.Errorf("%w: alg %.20q", ErrForbiddenHeader, h.Algorithm)
	case h.Ephemeral == nil || h.Ephemeral.Type != "OKP" || h.Ephemeral.Curve != "X25519":
		return fmt.Errorf("%w: epk: want an OKP key on X25519", ErrForbiddenHeader)
	case h.KeyID == "":
		return fmt.Errorf("%w: no kid", ErrForbiddenHeader)
	}
	return nil
}

func checkContent(algorithm string) error {
	if algorithm != algorithmContent {
		return fmt.Errorf("%w: enc %.20q", ErrForbiddenHeader, algorithm)
	}
	return nil
}

// checkBase64URL refuses characters that a decoder may skip.
func checkBase64URL(s string) error {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return fmt.Errorf("%w: no base64url", ErrMalformed)
		}
	}
	return nil
}

// onlyRecipient is the envelope without the other recipients.
func (e *envelope) onlyRecipient(i int) []byte {
	if e.compact != nil {
		return e.compact
	}
	one := e.general
	one.Recipients = []json.RawMessage{e.recipients[i].text}
	data, err := json.Marshal(one)
	if err != nil {
		panic("seal: an envelope that is no JSON: " + err.Error()) // it was read as such
	}
	return data
}
