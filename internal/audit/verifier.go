package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// verifier checks a log line by line.
type verifier struct {
	Checked
	key      func(kid string) ed25519.PublicKey
	heads    []Head // not compared yet, by number
	progress progress
	chain    chain
	position linePosition // the last line
	begun    bool
	removed  uint64 // the last line that signed lines record as removed
	tail     unsignedTail
	mismatch *mismatch // nil for none
}

// unsignedTail is what the lines since the last checkpoint record. It counts when the next
// one signs them, except for lines of a run that ended before it could.
type unsignedTail struct {
	first     uint64 // 0 for none
	left      uint64 // the last of those that will not be signed; 0 for none
	missing   uint64
	removed   uint64
	notClosed uint64
}

// linePosition is the position of a line.
type linePosition struct {
	path string
	line int
}

func (p linePosition) badLine(err error) error { return &BadLine{p.path, p.line, err} }

// mismatch is about two successive lines of which one was changed: the line after them
// decides which.
type mismatch struct {
	first, second linePosition
	digest        digest // of the second
}

// changedLineError returns an error about the second line, or about the first if the second is intact.
func (d *mismatch) changedLineError(intact bool) error {
	if intact {
		return d.first.badLine(ErrChanged)
	}
	return d.second.badLine(ErrChanged)
}

// header is what every line has, and what only a checkpoint may have.
type header struct {
	Seq  uint64    `json:"seq"`
	Prev string    `json:"prev"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Sig  string    `json:"sig"`

	kindFields
}

// kindFields are of the log's own kinds. In lines of other kinds, what has these
// names may be anything.
type kindFields struct {
	keyID   string // of a checkpoint
	closed  bool   // of a checkpoint
	missing uint64 // of a gap
	last    uint64 // of a removal
}

func parseLineHeader(line []byte) (*header, error) {
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
		h.kindFields = kindFields{own.KeyID, own.Closed, own.Missing, own.Last}
	}
	return &h, nil
}

func (v *verifier) checkLine(line []byte, here linePosition) error {
	h, err := parseLineHeader(line)
	if err != nil {
		return here.badLine(err)
	}
	if v.mismatch != nil {
		return v.mismatch.changedLineError(h.Prev == v.mismatch.digest.String())
	}
	if h.Seq != v.chain.seq+1 {
		return here.badLine(fmt.Errorf("%w: it is number %d and should be %d", ErrChain, h.Seq, v.chain.seq+1))
	}
	if v.Closed && h.Kind != KindCheckpoint {
		return here.badLine(ErrAfterEnd)
	}
	sum := digest(sha256.Sum256(line))
	if h.Prev != v.chain.last.String() && (v.begun || h.Seq == 1) { // the line before a shortened log is unknown
		v.mismatch = &mismatch{v.position, here, sum}
	}
	if h.Kind == KindCheckpoint || h.Sig != "" {
		if err := v.checkNextCheckpoint(h, line); err != nil {
			return here.badLine(err)
		}
		if v.mismatch != nil && v.key != nil {
			return v.mismatch.changedLineError(true)
		}
		v.countSignedLines()
	}
	if v.mismatch == nil {
		if err := v.compareWithHeads(Head{h.Seq, sum.String()}); err != nil {
			return here.badLine(err)
		}
	}
	v.countLine(h)
	v.chain, v.position, v.begun = chain{h.Seq, sum}, here, true
	return nil
}

func (v *verifier) compareWithHeads(line Head) error {
	for len(v.heads) > 0 && v.heads[0].Seq == line.Seq {
		if v.heads[0] != line {
			return ErrAnew
		}
		v.Heads++
		v.heads = v.heads[1:]
	}
	return nil
}

func (v *verifier) countLine(h *header) {
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
	case KindNotClosed: // the lines before it may be foreign
		*t = unsignedTail{first: t.first, notClosed: 1}
		if h.Seq > t.first {
			t.left = h.Seq - 1
		}
	case KindRemoved:
		t.removed = max(t.removed, h.last)
	}
}

func (v *verifier) countSignedLines() {
	t := v.tail
	v.tail = unsignedTail{}
	v.Missing += t.missing
	v.NotClosed += t.notClosed
	v.removed = max(v.removed, t.removed)
	if t.left > 0 {
		v.Unsigned += t.left - t.first + 1
		if len(v.UnsignedAt) < spansMax {
			v.UnsignedAt = append(v.UnsignedAt, Span{t.first, t.left})
		}
	}
}

func (v *verifier) checkNextCheckpoint(h *header, line []byte) error {
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
