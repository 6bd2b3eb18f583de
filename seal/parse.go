package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/event"
)

// parsePayload reads the payload. Members that it does not know are no error: later versions
// may have more.
func (o *Opened) parsePayload() error {
	if err := checkJSON(o.Payload); err != nil {
		return err
	}
	m, err := event.Parse(o.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	o.Security = *m.Identity()
	if _, unknown := m.(*event.UnknownMessage); !unknown {
		o.Message = m
	}
	s := &o.Security
	switch {
	case s.Source != event.Origin:
		return fmt.Errorf("%w: source %.40q", ErrMalformed, s.Source)
	case s.Sequence == 0 || s.Epoch == 0:
		return fmt.Errorf("%w: sequence %d of epoch %d", ErrMalformed, s.Sequence, s.Epoch)
	case s.IssuedAt <= 0: // of what has no time, a guard without a bound would not ask for it
		return fmt.Errorf("%w: issued at %d", ErrMalformed, s.IssuedAt)
	case len(s.Node) > nodeMax:
		return fmt.Errorf("%w: a node name of %d bytes", ErrMalformed, len(s.Node))
	}
	if err := event.ValidNode(s.Node); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// nodeMax is the longest name of a node.
const nodeMax = 128

// parseInto decodes an object that may have fields that into does not have.
func parseInto(data []byte, into any) error { return decodeChecked(data, into, false) }

// unmarshalStrict decodes an object that may have no other fields than into has.
func unmarshalStrict(data []byte, into any) error { return decodeChecked(data, into, true) }

func decodeChecked(data []byte, into any, strict bool) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

const (
	// sizeMax is above what a NATS server takes, which is 1 MiB unless it is set
	// otherwise, and a third more for base64.
	sizeMax = 2 << 20
	// depthMax is how far arrays and objects may be nested in each other.
	depthMax = 16
)

// checkJSON refuses what programs may understand differently: names that an object
// has twice, also if only their case differs, and text that is no UTF-8.
func checkJSON(data []byte) error {
	switch {
	case len(data) > sizeMax:
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(data))
	case !utf8.Valid(data):
		return fmt.Errorf("%w: no UTF-8", ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkValue(d, depthMax); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows the JSON value", ErrMalformed)
	}
	return nil
}

func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("nested too deep")
	}
	var names map[string]bool
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			key := foldName(name.(string))
			if names[key] {
				return fmt.Errorf("%.40q is there twice", name)
			}
			if names == nil {
				names = make(map[string]bool, 16)
			}
			names[key] = true
		}
		if err := checkValue(d, depth-1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// foldName is the same for two names that encoding/json takes for the same.
func foldName(name string) string {
	for _, c := range []byte(name) {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(smallestFold, name)
		}
	}
	return name
}

func smallestFold(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return unicode.ToLower(next)
		}
		r = next
	}
}
