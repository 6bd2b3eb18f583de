package silence

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Agent is what a selector looks at.
type Agent struct {
	ID     uint32
	Name   string
	IP     string // where it was seen last, else what it is registered under; "any" and networks are in no network
	Groups string // its Wazuh groups, separated by commas
}

// Selector selects agents. Of each kind of condition that is set, one entry has to match.
// The zero value selects nothing.
type Selector struct {
	all      bool
	ids      []IDRange
	names    []string // patterns as path.Match has them
	groups   []string // patterns
	networks []netip.Prefix

	agent, group, network string // as they are written
}

// IDRange is the agent ids from Lo to Hi, both included.
type IDRange struct{ Lo, Hi uint32 }

// String returns the range as it is written.
func (r IDRange) String() string {
	if r.Hi > r.Lo {
		return fmt.Sprintf("%03d-%03d", r.Lo, r.Hi)
	}
	return fmt.Sprintf("%03d", r.Lo)
}

const (
	// maxSelector is the size of the text of a kind of condition, in bytes.
	maxSelector = 1024
	// maxEntries is how many entries a kind of condition may have.
	maxEntries = 64
	// maxAgentID is the largest id of an agent: a message has room for eight digits.
	maxAgentID = 99_999_999
)

// ErrSelectsNothing is the error of a silence without a selector.
var ErrSelectsNothing = errors.New("it selects no agent: name agents, a group or a network, or all of them explicitly")

// ParseSelector parses the conditions of a selector, each a list separated by commas; an
// empty text is no condition. Agents are ids such as 001, ranges such as 010-020, and
// names or patterns of them such as web-*.
func ParseSelector(all bool, agent, group, network string) (Selector, error) {
	s := Selector{all: all}
	switch {
	case all && (agent != "" || group != "" || network != ""):
		return Selector{}, errors.New("all agents, and a selector of some: want one or the other")
	case !all && agent == "" && group == "" && network == "":
		return Selector{}, ErrSelectsNothing
	}
	var err error
	if s.agent, err = parseEntries("agent", agent, s.addAgentEntry); err != nil {
		return Selector{}, err
	}
	if s.group, err = parseEntries("group", group, func(entry string) error {
		s.groups = append(s.groups, entry)
		return CheckPattern(entry)
	}); err != nil {
		return Selector{}, err
	}
	if s.network, err = parseEntries("network", network, s.addNetworkEntry); err != nil {
		return Selector{}, err
	}
	return s, nil
}

// parseEntries calls add for each entry of a list, and returns the list as it is written
// without spaces.
func parseEntries(kind, text string, add func(entry string) error) (string, error) {
	if text == "" {
		return "", nil
	}
	if len(text) > maxSelector {
		return "", fmt.Errorf("%s: longer than %d bytes", kind, maxSelector)
	}
	var entries []string
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		err := errors.New("empty")
		if entry != "" {
			err = add(entry)
		}
		if err != nil {
			return "", fmt.Errorf("%s %q: %w", kind, printable.Brief(entry, 80), err)
		}
		if entries = append(entries, entry); len(entries) > maxEntries {
			return "", fmt.Errorf("%s: more than %d entries", kind, maxEntries)
		}
	}
	return strings.Join(entries, ","), nil
}

// addAgentEntry adds an id, a range of ids, or a name.
func (s *Selector) addAgentEntry(entry string) error {
	if strings.Trim(entry, "0123456789-") != "" || strings.Count(entry, "-") > 1 || strings.HasPrefix(entry, "-") || strings.HasSuffix(entry, "-") {
		s.names = append(s.names, entry)
		return CheckPattern(entry)
	}
	r, err := ParseIDRange(entry)
	if err == nil {
		s.ids = append(s.ids, r)
	}
	return err
}

// ParseIDRange parses an agent's id, such as 001, or a range of them, such as 010-020.
func ParseIDRange(text string) (r IDRange, err error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	r = IDRange{parseAgentID(low), parseAgentID(high)}
	switch {
	case r.Lo == 0 || r.Hi == 0:
		err = errors.New("not an agent id from 001 to 99999999, nor a range of them")
	case r.Lo > r.Hi:
		err = errors.New("the range runs backwards")
	}
	return r, err
}

// parseAgentID returns 0 for what is no agent's id: 000 is the manager's own. Leading
// zeros and spaces do not matter.
func parseAgentID(text string) uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || n > maxAgentID {
		return 0
	}
	return uint32(n)
}

// CheckPattern returns what is wrong with a pattern of names of agents or groups.
func CheckPattern(p string) error {
	switch _, err := path.Match(p, ""); {
	case err != nil:
		return errors.New("a malformed pattern")
	case strings.ContainsFunc(p, unicode.IsSpace):
		return errors.New("has a space") // most likely a forgotten comma: no agent's name has one
	case !printable.Is(p):
		return errors.New("has a character that cannot be printed")
	}
	return nil
}

func (s *Selector) addNetworkEntry(entry string) error {
	if a, err := netip.ParseAddr(entry); err == nil && a.Zone() == "" {
		a = a.Unmap()
		s.networks = append(s.networks, netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(entry)
	switch {
	case err != nil || p.Addr().Is4In6():
		return errors.New("neither an IP address without a zone nor a network such as 10.1.0.0/16")
	case p != p.Masked():
		return fmt.Errorf("has bits behind its length: want %v", p.Masked())
	}
	s.networks = append(s.networks, p)
	return nil
}

// Matches reports whether the selector selects an agent.
func (s *Selector) Matches(a *Agent) bool { return s.matchesAt(a, a.addr()) }

// matchesAt does as Matches, with the address that the agent's IP is.
func (s *Selector) matchesAt(a *Agent, addr netip.Addr) bool {
	if s.all {
		return true
	}
	if len(s.ids)+len(s.names)+len(s.groups)+len(s.networks) == 0 {
		return false
	}
	return (s.agent == "" || s.matchesID(a.ID) || s.matchesName(a.Name)) &&
		(s.group == "" || s.matchesGroups(a.Groups)) &&
		(s.network == "" || slices.ContainsFunc(s.networks, func(p netip.Prefix) bool { return p.Contains(addr) }))
}

func (s *Selector) matchesID(id uint32) bool {
	return slices.ContainsFunc(s.ids, func(r IDRange) bool { return r.Lo <= id && id <= r.Hi })
}

func (s *Selector) matchesName(name string) bool {
	return name != "" && slices.ContainsFunc(s.names, func(p string) bool { return matchPattern(p, name) })
}

func (s *Selector) matchesGroups(groups string) bool {
	for group := range strings.SplitSeq(groups, ",") {
		if group != "" && slices.ContainsFunc(s.groups, func(p string) bool { return matchPattern(p, group) }) {
			return true
		}
	}
	return false
}

// matchPattern matches a pattern that CheckPattern has accepted.
func matchPattern(pattern, text string) bool {
	ok, _ := path.Match(pattern, text)
	return ok
}

// addr returns the address of the agent; the zero address, which is in no network, if
// there is none.
func (a *Agent) addr() netip.Addr {
	addr, err := netip.ParseAddr(a.IP)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// String returns the selector as the command line has it.
func (s *Selector) String() string {
	if s.all {
		return "all agents"
	}
	var parts []string
	for _, p := range [][2]string{{"agent ", s.agent}, {"group ", s.group}, {"network ", s.network}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "no agent")
}
