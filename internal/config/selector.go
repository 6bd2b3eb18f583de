package config

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

// parseEachEntry calls parse for every entry of a comma-separated list, trimmed. Its error has the number of the entry.
func parseEachEntry(text string, parse func(entry string) error) error {
	entries := strings.Split(text, ",")
	for i, e := range entries {
		e = strings.TrimSpace(e)
		err := errors.New("empty")
		if e != "" {
			err = parse(e)
		}
		if err != nil && len(entries) > 1 {
			return fmt.Errorf("entry %d of %d: %w", i+1, len(entries), err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// idListField is agent ids and ranges of them.
type idListField struct{ p *[]IDRange }

func (f idListField) describeAcceptedValues() string {
	return "agent ids and ranges separated by commas, such as 001,010-020"
}

func (f idListField) String() string {
	var b strings.Builder
	for i, r := range *f.p {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%03d", r.Lo)
		if r.Hi > r.Lo {
			fmt.Fprintf(&b, "-%03d", r.Hi)
		}
	}
	return b.String()
}

func (f idListField) setFromText(text string) error {
	var ranges []IDRange
	err := parseEachEntry(text, func(entry string) error {
		low, high, isRange := strings.Cut(entry, "-")
		if !isRange {
			high = low
		}
		r := IDRange{parseAgentID(low), parseAgentID(high)}
		if r.Lo == 0 || r.Hi == 0 {
			return errors.New("not an agent id from 001 to 99999999, nor a range of them")
		}
		if r.Lo > r.Hi {
			return errors.New("the range runs backwards")
		}
		ranges = append(ranges, r)
		return nil
	})
	if err == nil {
		*f.p = mergeIDRanges(ranges)
	}
	return err
}

// maxID is the largest agent id: a message has room for eight digits.
const maxID = 99_999_999

// parseAgentID returns 0 for what is no agent's id: 000 is the manager's own. Leading zeros do not matter.
func parseAgentID(text string) uint32 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || n > maxID {
		return 0
	}
	return uint32(n)
}

// mergeIDRanges sorts ranges and joins those that overlap: a search among them needs both.
func mergeIDRanges(ranges []IDRange) []IDRange {
	slices.SortFunc(ranges, func(a, b IDRange) int { return cmp.Compare(a.Lo, b.Lo) })
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		if last := &merged[len(merged)-1]; r.Lo <= last.Hi {
			last.Hi = max(last.Hi, r.Hi)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// patternField is names of agents, or of their Wazuh groups, with wildcards.
type patternField struct {
	p    *[]string
	want string
}

const (
	namePatterns       = "names or patterns separated by commas, such as web-*,dc??"
	wazuhGroupPatterns = "names of Wazuh groups or patterns separated by commas, such as web,linux-*"
)

func (f patternField) String() string                 { return strings.Join(*f.p, ",") }
func (f patternField) describeAcceptedValues() string { return f.want }

func (f patternField) setFromText(text string) error {
	var patterns []string
	err := parseEachEntry(text, func(p string) error {
		switch _, err := path.Match(p, ""); {
		case err != nil:
			return errors.New("a malformed pattern")
		case strings.ContainsFunc(p, unicode.IsSpace):
			return errors.New("has a space") // most likely a forgotten comma: no agent's name has one
		case !printable.Is(p):
			return errUnprintable
		}
		patterns = append(patterns, p)
		return nil
	})
	if err == nil {
		*f.p = patterns
	}
	return err
}

// prefixField is addresses and ranges of them.
type prefixField struct{ p *[]netip.Prefix }

func (f prefixField) describeAcceptedValues() string {
	return "IP addresses and networks separated by commas, such as 10.1.0.0/16,192.0.2.7"
}

func (f prefixField) String() string {
	texts := make([]string, len(*f.p))
	for i, p := range *f.p {
		texts[i] = p.String()
		if p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ",")
}

func (f prefixField) setFromText(text string) error {
	var prefixes []netip.Prefix
	err := parseEachEntry(text, func(entry string) error {
		p, err := parsePrefix(entry)
		prefixes = append(prefixes, p)
		return err
	})
	if err == nil {
		*f.p = prefixes
	}
	return err
}

// parsePrefix returns a network, with its host bits cleared. An address is a network of one.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("neither an IP address without a zone nor ADDRESS/BITS")
	}
	return p.Masked(), nil
}

// groupName is fit for messages, paths and labels without escaping.
var groupName = rule{"1 to 64 letters, digits, - or _", func(s string) error {
	switch {
	case s == "":
		return errors.New("empty")
	case len(s) > 64:
		return errors.New("longer than 64 bytes")
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	}):
		return errors.New("has a character that is no letter, digit, - or _")
	}
	return nil
}}
