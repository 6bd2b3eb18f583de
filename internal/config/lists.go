package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// listField is values separated by commas.
type listField[T any] struct {
	p      *[]T
	want   string
	format func(T) string
	parse  func(entry string, before []T) (T, error) // of one entry behind others
}

func (f listField[T]) describeAcceptedValues() string { return f.want }

func (f listField[T]) String() string {
	texts := make([]string, len(*f.p))
	for i, v := range *f.p {
		texts[i] = f.format(v)
	}
	return strings.Join(texts, ",")
}

// setFromText stores the values of a list. Its error has the number of the entry.
func (f listField[T]) setFromText(text string) error {
	entries := strings.Split(text, ",")
	var list []T
	for i, e := range entries {
		var v T
		err := errors.New("empty")
		if e = strings.TrimSpace(e); e != "" {
			v, err = f.parse(e, list)
		}
		switch {
		case err == nil:
			list = append(list, v)
		case len(entries) > 1:
			return fmt.Errorf("entry %d of %d: %w", i+1, len(entries), err)
		default:
			return err
		}
	}
	*f.p = list
	return nil
}

// maxListed is how many entries an optional list has at most.
const maxListed = 8

// optionalListField is a list that may be empty, also written as none.
type optionalListField[T any] struct {
	listField[T]
	none string
}

func (f optionalListField[T]) String() string { return cmp.Or(f.listField.String(), f.none) }

func (f optionalListField[T]) setFromText(text string) error {
	if text == "" || text == f.none {
		*f.p = nil
		return nil
	}
	if strings.Count(text, ",") >= maxListed {
		return fmt.Errorf("more than %d entries", maxListed)
	}
	return f.listField.setFromText(text)
}

// newPortListField returns a field of TCP ports, in the order in which they are used.
func newPortListField(p *[]int) field {
	want := fmt.Sprintf("up to %d ports from 1 to 65535, separated by commas, or nothing", maxListed)
	return optionalListField[int]{listField[int]{p, want, strconv.Itoa, func(entry string, before []int) (port int, err error) {
		if err = (intField{&port, 1, 65535}).setFromText(entry); err == nil && slices.Contains(before, port) {
			err = errors.New("a port that is here twice")
		}
		return port, err
	}}, ""}
}

// newDurationListField returns a field of durations, each longer than the one before.
func newDurationListField(p *[]time.Duration, low, high time.Duration) field {
	want := fmt.Sprintf("up to %d rising durations such as 60s,1h,1d, from %s to %s, or no", maxListed, durationBoundText(low), durationBoundText(high))
	return optionalListField[time.Duration]{listField[time.Duration]{p, want, durationSettingText, func(entry string, before []time.Duration) (d time.Duration, err error) {
		if err = (durationField{&d, low, high}).setFromText(entry); err == nil && len(before) > 0 && d <= before[len(before)-1] {
			err = errors.New("not longer than the one before")
		}
		return d, err
	}}, "no"}
}

// idListField is agent ids and ranges of them.
type idListField struct{ listField[IDRange] }

func newIDListField(p *[]IDRange) field {
	return idListField{listField[IDRange]{p, "agent ids and ranges separated by commas, such as 001,010-020", IDRange.String,
		func(entry string, _ []IDRange) (IDRange, error) { return silence.ParseIDRange(entry) }}}
}

func (f idListField) setFromText(text string) error {
	err := f.listField.setFromText(text)
	if err == nil {
		*f.p = mergeIDRanges(*f.p)
	}
	return err
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

const (
	namePatterns       = "names or patterns separated by commas, such as web-*,dc??"
	wazuhGroupPatterns = "names of Wazuh groups or patterns separated by commas, such as web,linux-*"
)

// newPatternField returns a field of names of agents, or of their Wazuh groups, with wildcards.
func newPatternField(p *[]string, want string) field {
	return listField[string]{p, want, func(s string) string { return s },
		func(pattern string, _ []string) (string, error) { return pattern, silence.CheckPattern(pattern) }}
}

// newPrefixField returns a field of addresses and ranges of them.
func newPrefixField(p *[]netip.Prefix) field {
	return listField[netip.Prefix]{p, "IP addresses and networks separated by commas, such as 10.1.0.0/16,192.0.2.7", formatPrefix,
		func(entry string, _ []netip.Prefix) (netip.Prefix, error) { return parsePrefix(entry) }}
}

func formatPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
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
