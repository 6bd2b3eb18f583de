package top

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// filterFields are the filters of the dashboard's search.
var filterFields = []string{"name", "ip", "net", "id", "group", "node", "os", "version"}

// FilterFields returns the names of the filters that [ParseFilter] knows.
func FilterFields() []string { return slices.Clone(filterFields) }

// Filter selects agents as the search of the dashboard does.
type Filter struct {
	text  string
	tests []func(*subject) bool
}

// subject is what an agent is selected by, in the list or in an event.
type subject struct {
	id, name, ip, node, group string
	*event.AgentInfo
}

// ParseFilter parses a search: text, and filters such as name:web-* or net:10.1.0.0/16, several separated by spaces.
// Its error is fit for a terminal.
func ParseFilter(text string) (*Filter, error) {
	f := &Filter{text: strings.Join(strings.Fields(text), " ")}
	for word := range strings.FieldsSeq(text) {
		test, err := parseWord(word)
		if err != nil {
			return nil, err
		}
		f.tests = append(f.tests, test)
	}
	return f, nil
}

// String returns the search.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

func parseWord(word string) (func(*subject) bool, error) {
	name, value, found := strings.Cut(word, ":")
	if !found || !isFieldName(name) || isAddress(word) {
		lower := strings.ToLower(word)
		return func(s *subject) bool {
			return strings.Contains(strings.ToLower(s.name), lower) || strings.Contains(s.ip, lower) || strings.Contains(s.id, lower)
		}, nil
	}
	name = strings.ToLower(name)
	if !slices.Contains(filterFields, name) {
		err := fmt.Errorf("there is no filter %.40q: there are %s", name, strings.Join(filterFields, ":, ")+":")
		if near := hint.FindNearest(name, filterFields); near != "" {
			err = hint.Add(err, fmt.Sprintf("did you mean %s:?", near))
		}
		return nil, err
	}
	if value == "" {
		return func(*subject) bool { return true }, nil // it is being typed
	}
	if name == "net" && !view.IsPattern(value) {
		return parseNetwork(value)
	}
	matches, err := newPattern(value)
	if err != nil {
		return nil, err
	}
	return fieldTest(name, strings.ToLower(value), matches), nil
}

func fieldTest(name, value string, matches func(string) bool) func(*subject) bool {
	switch name {
	case "name":
		return func(s *subject) bool { return matches(s.name) }
	case "id":
		return func(s *subject) bool { return matches(s.id) }
	case "node":
		return func(s *subject) bool { return matches(s.node) }
	case "group":
		return func(s *subject) bool { return matches(s.group) || slices.ContainsFunc(s.WazuhGroups, matches) }
	case "os":
		return func(s *subject) bool {
			system := strings.ToLower(strings.TrimSpace(s.OSName + " " + s.OSVersion))
			return system != "" && (matches(system) || !view.IsPattern(value) && strings.Contains(system, value))
		}
	case "version":
		return func(s *subject) bool {
			number := strings.TrimPrefix(s.AgentVersion, "v")
			return number != "" && (matches(s.AgentVersion) || matches(number) || !view.IsPattern(value) && strings.HasPrefix(number, strings.TrimPrefix(value, "v")+"."))
		}
	}
	return func(s *subject) bool { return matches(s.ip) } // ip, and net with a pattern
}

// newPattern returns what matches a whole text with a pattern, in which a slash is a character like any other.
func newPattern(pattern string) (matches func(string) bool, err error) {
	fold := func(text string) string { return strings.ToLower(strings.ReplaceAll(text, "/", "\x00")) }
	pattern = fold(pattern)
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%.40q is no pattern: want one such as web-*", pattern)
	}
	return func(text string) bool {
		ok, _ := path.Match(pattern, fold(text)) // a valid pattern
		return ok
	}, nil
}

// parseNetwork takes a network of any length, with any of its addresses, and a single address.
func parseNetwork(text string) (func(*subject) bool, error) {
	network, err := netip.ParsePrefix(text)
	if addr, failed := netip.ParseAddr(text); failed == nil {
		network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%.60q is no network: net: wants one such as 10.1.0.0/16, or 10.1.*", text)
	}
	network = network.Masked()
	return func(s *subject) bool {
		addr, err := netip.ParseAddr(s.ip)
		return err == nil && network.Contains(addr.Unmap())
	}, nil
}

func isFieldName(name string) bool {
	return name != "" && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz_-") == ""
}

// isAddress reports whether a word with a colon looks like a part of an IPv6 address.
func isAddress(word string) bool {
	return strings.Trim(strings.ToLower(word), "0123456789abcdef:.") == ""
}

func (f *Filter) matches(s *subject) bool {
	return f == nil || !slices.ContainsFunc(f.tests, func(test func(*subject) bool) bool { return !test(s) })
}

// MatchesAgent reports whether an agent is selected.
func (f *Filter) MatchesAgent(a *view.LocatedAgent) bool {
	return f.matches(&subject{a.ID, a.Name, a.IP, a.Node, a.Group, &a.AgentInfo})
}

// matchesEvent reports whether an event is about an agent that is selected. One about no single agent always is.
func (f *Filter) matchesEvent(e *view.Event) bool {
	return e.ID == "" && e.Name == "" || f.matches(&subject{e.ID, e.Name, e.IP, e.Node, "", &e.AgentInfo})
}
