package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// verifier goes along a log.
type verifier struct {
	Checked
	key      func(kid string) ed25519.PublicKey
	heads    []Head // not met yet, by number
	progress progress
	chain    chain
	at       place // the last line
	begun    bool
	removed  uint64 // up to where the log says, signed, that it was shortened
	tail     tail
	doubt    *doubt // nil for none
}

// tail is what the lines since the last checkpoint say. It counts when the next one
// signs them, but for those of a life that ended before it could.
type tail struct {
	first     uint64 // 0 for none
	left      uint64 // the last of those that nobody signs any more; 0 for none
	missing   uint64
	removed   uint64
	notClosed uint64
}

// place is where a line is.
type place struct {
	path string
	line int
}

func (p place) bad(err error) error { return &BadLine{p.path, p.line, err} }

// doubt is about two neighbours that do not fit: the line after them tells which
// of them was changed.
type doubt struct {
	first, second place
	digest        digest // of the second
}

// settle blames the second, unless it is known to be as it was written.
func (d *doubt) settle(intact bool) error {
	if intact {
		return d.first.bad(ErrChanged)
	}
	return d.second.bad(ErrChanged)
}

// header is what every line has, and what only a checkpoint may have.
type header struct {
	Seq  uint64    `json:"seq"`
	Prev string    `json:"prev"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Sig  string    `json:"sig"`

	particulars
}

// particulars are of the log's own kinds. In lines of other kinds, what has these
// names may be anything.
type particulars struct {
	keyID   string // of a checkpoint
	closed  bool   // of a checkpoint
	missing uint64 // of a gap
	last    uint64 // of a removal
}

func parse(line []byte) (*header, error) {
	if !bytes.HasPrefix(line, []byte(`{"seq":`)) {
		return nil, ErrNoLine
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoLine, err)
	}
	if h.Kind == "" || h.Prev == "" || h.Time.IsZero() {
		return nil, fmt.Errorf("%w: it lacks kind, prev or time", ErrNoLine)
	}
	switch h.Kind {
	case KindCheckpoint, KindGap, KindRemoved:
		var own struct {
			KeyID   string `json:"kid"`
			Closed  bool   `json:"closed"`
			Missing uint64 `json:"missing"`
			Last    uint64 `json:"last"`
		}
		if err := json.Unmarshal(line, &own); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoLine, err)
		}
		h.particulars = particulars{own.KeyID, own.Closed, own.Missing, own.Last}
	}
	return &h, nil
}

func (v *verifier) line(line []byte, here place) error {
	h, err := parse(line)
	if err != nil {
		return here.bad(err)
	}
	if v.doubt != nil {
		return v.doubt.settle(h.Prev == v.doubt.digest.String())
	}
	if h.Seq != v.chain.seq+1 {
		return here.bad(fmt.Errorf("%w: it is number %d and should be %d", ErrChain, h.Seq, v.chain.seq+1))
	}
	if v.Closed && h.Kind != KindCheckpoint {
		return here.bad(ErrAfterEnd)
	}
	sum := digest(sha256.Sum256(line))
	if h.Prev != v.chain.last.String() && (v.begun || h.Seq == 1) { // what was before a log that was shortened, nobody knows
		v.doubt = &doubt{v.at, here, sum}
	}
	if h.Kind == KindCheckpoint || h.Sig != "" {
		if err := v.checkpoint(h, line); err != nil {
			return here.bad(err)
		}
		if v.doubt != nil && v.key != nil {
			return v.doubt.settle(true)
		}
		v.sign()
	}
	if v.doubt == nil {
		if err := v.meet(Head{h.Seq, sum.String()}); err != nil {
			return here.bad(err)
		}
	}
	v.count(h)
	v.chain, v.at, v.begun = chain{h.Seq, sum}, here, true
	return nil
}

// meet compares a line with the heads that are about it.
func (v *verifier) meet(line Head) error {
	for len(v.heads) > 0 && v.heads[0].Seq == line.Seq {
		if v.heads[0] != line {
			return ErrAnew
		}
		v.Heads++
		v.heads = v.heads[1:]
	}
	return nil
}

func (v *verifier) count(h *header) {
	v.Lines++
	v.Closed = h.Kind == KindCheckpoint && h.closed
	if h.Kind == KindCheckpoint {
		return
	}
	t := &v.tail
	if t.first == 0 {
		t.first = h.Seq
	}
	switch h.Kind {
	case KindGap:
		t.missing += h.missing
	case KindNotClosed: // what is before it, anybody may have written
		*t = tail{first: t.first, notClosed: 1}
		if h.Seq > t.first {
			t.left = h.Seq - 1
		}
	case KindRemoved:
		t.removed = max(t.removed, h.last)
	}
}

// sign counts what a checkpoint signs.
func (v *verifier) sign() {
	t := v.tail
	v.tail = tail{}
	v.Missing += t.missing
	v.NotClosed += t.notClosed
	v.removed = max(v.removed, t.removed)
	if t.left > 0 {
		v.addUnsigned(Span{t.first, t.left})
	}
}

func (v *verifier) addUnsigned(s Span) {
	v.Unsigned += s.Last - s.First + 1
	if len(v.UnsignedAt) < spansMax {
		v.UnsignedAt = append(v.UnsignedAt, s)
	}
}

func (v *verifier) checkpoint(h *header, line []byte) error {
	if h.Kind != KindCheckpoint {
		return fmt.Errorf("%w: it is signed and no checkpoint", ErrChanged)
	}
	if v.key == nil {
		return nil
	}
	if h.keyID == "" {
		return errNoSignature
	}
	key := v.key(h.keyID)
	if key == nil {
		return fmt.Errorf("signed with the key %.100q, which is not among those given", h.keyID)
	}
	if err := checkSignature(line, key); err != nil {
		return err
	}
	v.Checkpoints++
	v.Signed = h.Seq
	return nil
}
