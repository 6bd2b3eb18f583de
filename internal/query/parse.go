package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxRequestSize is the size of the longest request, in bytes.
const maxRequestSize = 4 << 10

// field is a field that a request may have.
type field struct {
	want  string // what its value must be, for the error
	parse func(value json.RawMessage) error
}

// stringField returns a field whose value is a string.
func stringField(want string, take func(string) error) field {
	return field{want, func(value json.RawMessage) error {
		var s *string
		if err := json.Unmarshal(value, &s); err != nil || s == nil {
			return errInvalidValue
		}
		return take(*s)
	}}
}

// intField returns a field whose value is an integer in a range.
func intField(lo, hi int, into *int) field {
	return field{fmt.Sprintf("a whole number from %d to %d", lo, hi), func(value json.RawMessage) error {
		var n *int
		if err := json.Unmarshal(value, &n); err != nil || n == nil || *n < lo || *n > hi {
			return errInvalidValue
		}
		*into = *n
		return nil
	}}
}

// errInvalidValue is returned for a value that the field does not accept.
var errInvalidValue = errors.New("unfit")

// parseRequest parses a request: a JSON object with these fields only, each at
// most once and by its exact name. An empty request has no fields.
func parseRequest(data []byte, fields map[string]field) error {
	switch {
	case len(data) > maxRequestSize:
		return fmt.Errorf("a request of %d bytes: at most %d are read", len(data), maxRequestSize)
	case len(bytes.TrimSpace(data)) == 0:
		return nil
	case !utf8.Valid(data):
		return errors.New("the request is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return fmt.Errorf("the request is not JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("the request is not a JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		if err := parseRequestField(d, fields, seen); err != nil {
			return err
		}
	}
	return nil
}

func parseRequestField(d *json.Decoder, fields map[string]field, seen map[string]bool) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	name, _ := token.(string)
	f, known := fields[name]
	switch {
	case !known:
		return fmt.Errorf("unknown field %.40q: %s", name, listKnownFields(fields))
	case seen[name]:
		return fmt.Errorf("field %q is there twice", name)
	}
	seen[name] = true
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		return err
	}
	if f.parse(value) != nil {
		return fmt.Errorf("field %q: want %s", name, f.want)
	}
	return nil
}

func listKnownFields(fields map[string]field) string {
	if len(fields) == 0 {
		return "this request has none"
	}
	return "known are " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}
