package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Limits and defaults of requests.
const (
	maxNameLength = 128
	maxLimit      = 1000
	defaultLimit  = 100

	// The default is below the five seconds for which the nats command and many
	// clients wait.
	defaultPingTimeout = 3 * time.Second
	minPingTimeout     = 100 * time.Millisecond
	maxPingTimeout     = 10 * time.Second
)

// listRequest selects the agents to list.
type listRequest struct {
	view.Filter
	node  string // a pattern
	limit int
	after detector.AgentID
}

func parseListRequest(data []byte) (listRequest, error) {
	r := listRequest{limit: defaultLimit}
	err := parseRequest(data, map[string]field{
		"status": stringField("active, disconnected, pending or never_connected", func(s string) error {
			status, ok := detector.ParseStatus(s)
			if !ok {
				return errInvalidValue
			}
			r.Statuses[status] = true
			return nil
		}),
		"dormant": {"true or false", func(value json.RawMessage) error {
			if json.Unmarshal(value, &r.Dormant) != nil || r.Dormant == nil {
				return errInvalidValue
			}
			return nil
		}},
		"name":    stringField("a part of a name, or a pattern such as web-*, of 1 to 128 bytes", r.setName),
		"group":   stringField("the name of a Wazuh group, or a pattern such as linux-*, of 1 to 128 bytes", patternInto(&r.Group)),
		"os":      stringField("a part of a system's name and version, or a pattern such as ubuntu*, of 1 to 128 bytes", patternInto(&r.OS)),
		"version": stringField("an agent's version such as 4.9, or a pattern such as 4.9.*, of 1 to 128 bytes", patternInto(&r.Version)),
		"node":    stringField("the name of a node, or a pattern such as node0*, of 1 to 128 bytes", patternInto(&r.node)),
		"ip":      stringField("an address or a network, such as 10.1.0.0/16", r.setNetwork),
		"ids":     {"a list of agent ids of three digits or more, such as [\"001\",\"1024\"]", r.setIDs},
		"limit":   intField(1, maxLimit, &r.limit),
		"after":   agentIDField(&r.after),
	})
	r.OS = strings.ToLower(r.OS)
	return r, err
}

// patternInto accepts a pattern, or a text that is none.
func patternInto(field *string) func(string) error {
	return func(s string) error {
		if _, err := path.Match(s, ""); err != nil || s == "" || len(s) > maxNameLength {
			return errInvalidValue
		}
		*field = s
		return nil
	}
}

func (r *listRequest) setName(s string) error {
	if view.IsPattern(s) {
		return patternInto(&r.Name)(s)
	}
	return patternInto(&r.NamePart)(s)
}

func (r *listRequest) setNetwork(s string) error {
	network, err := netip.ParsePrefix(s)
	if addr, bad := netip.ParseAddr(s); bad == nil {
		addr = addr.Unmap().WithZone("")
		network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	r.Network = network.Masked()
	return err
}

func (r *listRequest) setIDs(value json.RawMessage) error {
	var texts []string
	if err := json.Unmarshal(value, &texts); err != nil || texts == nil {
		return errInvalidValue
	}
	r.IDs = make([]detector.AgentID, 0, len(texts))
	for _, s := range texts {
		id, err := detector.ParseID(s)
		if err != nil {
			return err
		}
		r.IDs = append(r.IDs, id)
	}
	slices.Sort(r.IDs)
	return nil
}

func agentIDField(into *detector.AgentID) field {
	return stringField("an agent id of three digits or more, such as 001", func(s string) (err error) {
		*into, err = detector.ParseID(s)
		return err
	})
}

var errNoID = errors.New(`field "id" is missing: want an agent id of three digits or more, such as 001`)

func parseGetRequest(data []byte) (id detector.AgentID, err error) {
	if err = parseRequest(data, map[string]field{"id": agentIDField(&id)}); err == nil && id == 0 {
		err = errNoID
	}
	return id, err
}

type pingRequest struct {
	id      detector.AgentID
	timeout time.Duration
}

func parsePingRequest(data []byte) (r pingRequest, err error) {
	ms := int(defaultPingTimeout.Milliseconds())
	err = parseRequest(data, map[string]field{"id": agentIDField(&r.id),
		"timeout_ms": intField(int(minPingTimeout.Milliseconds()), int(maxPingTimeout.Milliseconds()), &ms)})
	if err == nil && r.id == 0 {
		err = errNoID
	}
	r.timeout = time.Duration(ms) * time.Millisecond
	return r, err
}

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
