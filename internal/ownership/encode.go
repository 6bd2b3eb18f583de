package ownership

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of a record's text.
const (
	textMax    = 1600 // bytes
	nodeMax    = 128  // bytes of a node's name
	versionMax = 40
	toldMax    = 8 // announced losses in a beat
)

// A record's text is one line of words separated by single spaces:
//
//	claim EPOCH NUMBER REASON SINCE SIGN FROM SEEN ADDRESS READ
//	beat EPOCH NUMBER STARTED ROLE VERSION AGENTS BACK TOLD
//	lost EPOCH NUMBER NODE BEAT
//
// REASON is lost@NODE of an agent that was lost with that node. TOLD is NODE@BEAT, several
// separated by commas. What is not known is "-". The agent is not in the text: it is in the key.

// AppendClaim appends the text of a claim, by a node that has read the stream up to an order.
func AppendClaim(b []byte, s Stamp, c *Claim, read uint64) []byte {
	b = appendHead(b, "claim", s)
	b = append(b, c.Reason.String()...)
	if c.With != "" {
		b = append(append(b, '@'), c.With...)
	}
	b = append(b, ' ')
	for _, n := range []uint64{uint64(c.Since), uint64(c.Sign), c.From, c.Seen} {
		b = append(strconv.AppendUint(b, n, 10), ' ')
	}
	if c.Addr.IsValid() {
		b = c.Addr.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	return strconv.AppendUint(append(b, ' '), read, 10)
}

// AppendBeat appends the text of a beat.
func AppendBeat(b []byte, s Stamp, beat *Beat) []byte {
	b = appendHead(b, "beat", s)
	version := beat.Version
	if !isWord(version, versionMax) {
		version = "-"
	}
	b = fmt.Appendf(b, "%d %s %s %d %d ", beat.Started, beat.Role, version, beat.Agents, beat.Back)
	if len(beat.Told) == 0 {
		return append(b, '-')
	}
	for i, v := range beat.Told[max(0, len(beat.Told)-toldMax):] {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%s@%d", v.Node, v.Beat)
	}
	return b
}

// AppendVerdict appends the text of a verdict.
func AppendVerdict(b []byte, s Stamp, v Verdict) []byte {
	return fmt.Appendf(appendHead(b, "lost", s), "%s %d", v.Node, v.Beat)
}

func appendHead(b []byte, kind string, s Stamp) []byte {
	return fmt.Appendf(b, "%s %d %d ", kind, s.Epoch, s.Number)
}

// Record is a record that was read. One of Claim, Beat and Verdict is set by its kind.
type Record struct {
	Stamp   Stamp
	Kind    Kind
	Claim   Claim
	Read    uint64 // of a claim: its node had read all records up to this order
	Beat    Beat
	Verdict Verdict
}

// Kind is the kind of a record.
type Kind uint8

// The kinds.
const (
	ClaimRecord Kind = iota + 1
	BeatRecord
	VerdictRecord
)

var errForm = errors.New("a record that is not understood")

// ParseRecord reads a record's text. The key that it is from has to fit: see [Key.Accepts].
func ParseRecord(text string) (r Record, err error) {
	if len(text) > textMax {
		return r, fmt.Errorf("%w: it has %d bytes", errForm, len(text))
	}
	var w [10]string
	n := splitWords(text, w[:])
	if n < 5 {
		return r, errForm
	}
	p := numbers{}
	r.Stamp = Stamp{p.parse(w[1], 62), p.parse(w[2], 62)}
	switch {
	case w[0] == "claim" && n == 10:
		r.Kind, r.Read, err = ClaimRecord, p.parse(w[9], 62), parseClaim(&r.Claim, &p, w[3:9])
	case w[0] == "beat" && n == 9:
		r.Kind, err = BeatRecord, parseBeat(&r.Beat, &p, w[3:])
	case w[0] == "lost" && n == 5:
		r.Kind, r.Verdict = VerdictRecord, Verdict{strings.Clone(w[3]), p.parse(w[4], 62)}
		if !IsNodeName(w[3]) {
			err = errForm
		}
	default:
		err = errForm
	}
	if err == nil && p.failed || r.Stamp.Epoch == 0 || r.Stamp.Number == 0 {
		err = errForm
	}
	return r, err
}

func parseClaim(c *Claim, p *numbers, w []string) error {
	word, with, declared := strings.Cut(w[0], "@")
	reason, ok := parseReason(word)
	if !ok || declared && (reason != Lost || !IsNodeName(with)) {
		return fmt.Errorf("%w: reason %.20q", errForm, w[0])
	}
	c.With = strings.Clone(with)
	c.Reason, c.Since, c.Sign = reason, uint32(p.parse(w[1], 32)), uint32(p.parse(w[2], 32))
	c.From, c.Seen = p.parse(w[3], 62), p.parse(w[4], 62)
	if c.From > c.Seen {
		return fmt.Errorf("%w: its last sign of life is before it came", errForm)
	}
	if w[5] == "-" {
		return nil
	}
	addr, err := netip.ParseAddr(w[5])
	if err != nil || addr.Zone() != "" || addr.Is4In6() || addr.String() != w[5] {
		return fmt.Errorf("%w: address %.50q", errForm, w[5])
	}
	c.Addr = addr
	return nil
}

func parseBeat(b *Beat, p *numbers, w []string) error {
	role, ok := parseRole(w[1])
	if !ok || !isWord(w[2], versionMax) {
		return errForm
	}
	b.Started, b.Role, b.Version = uint32(p.parse(w[0], 32)), role, strings.Clone(w[2])
	b.Agents, b.Back = uint32(p.parse(w[3], 32)), p.parse(w[4], 62)
	if w[5] == "-" {
		return nil
	}
	for part := range strings.SplitSeq(w[5], ",") {
		node, beat, ok := strings.Cut(part, "@")
		if !ok || !IsNodeName(node) || len(b.Told) == toldMax {
			return errForm
		}
		b.Told = append(b.Told, Verdict{strings.Clone(node), p.parse(beat, 62)})
	}
	return nil
}

// numbers parses decimal numbers in their shortest form.
type numbers struct{ failed bool }

func (p *numbers) parse(s string, bits int) uint64 {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil || s[0] == '+' || len(s) > 1 && s[0] == '0' {
		p.failed = true
		return 0
	}
	return n
}

// splitWords splits a text at single spaces and returns the number of words, one more than
// there is room for if there are too many.
func splitWords(text string, words []string) int {
	for i := range words {
		word, rest, more := strings.Cut(text, " ")
		if word == "" {
			return 0
		}
		words[i] = word
		if !more {
			return i + 1
		}
		text = rest
	}
	return len(words) + 1
}

// isWord reports whether s is printable ASCII without a space.
func isWord(s string, most int) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// IsNodeName reports whether a node may have the name: a word that is one token of a
// subject, and has none of the characters that separate names in records.
func IsNodeName(s string) bool { return isWord(s, nodeMax) && !strings.ContainsAny(s, ".*>,@") }
