package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Checked is what a log was found to be.
type Checked struct {
	Files       int    `json:"files"`
	Lines       uint64 `json:"lines"`
	First       uint64 `json:"first_seq"`   // older ones were removed if it is not 1
	Signed      uint64 `json:"signed_seq"`  // the last line that a checkpoint signs; 0 for none
	Checkpoints uint64 `json:"checkpoints"` // with a good signature
	Missing     uint64 `json:"missing"`     // lines that could not be written at their time, as the log says itself
	Torn        int    `json:"torn_bytes"`  // of half a line at the end: a crash, or a log that is being written
	Head        Head   `json:"head"`        // the last line
}

// BadLine is the first line that is not as it was written.
type BadLine struct {
	Path string
	Line int // from 1
	Err  error
}

func (b *BadLine) Error() string { return fmt.Sprintf("%s:%d: %v", b.Path, b.Line, b.Err) }
func (b *BadLine) Unwrap() error { return b.Err }

// What may be wrong with a line.
var (
	ErrChanged = errors.New("the line was changed")
	ErrChain   = errors.New("lines were removed or inserted before it")
	ErrNoLine  = errors.New("not a line of an audit log")
	ErrMissing = errors.New("lines are missing at the beginning, and the log does not say that they were removed")
	ErrCut     = errors.New("the log ends too early: lines were cut off")
)

// Verify checks the log in a directory. Key gives the public key of a checkpoint,
// or nil for one that is not trusted; without Key, signatures are not looked at. An
// error that is a [*BadLine] names the first line that is wrong. Progress, which
// may be nil, hears of bytes read and of all there are.
func Verify(dir string, key func(kid string) ed25519.PublicKey, progress func(read, all int64)) (Checked, error) {
	files, err := list(dir)
	if err != nil {
		return Checked{}, err
	}
	if len(files) == 0 {
		return Checked{}, fmt.Errorf("no audit log in %s", dir)
	}
	v := verifier{key: key, chain: chain{seq: files[0].first - 1}, removed: files[0].first == 1}
	v.First, v.Files = files[0].first, len(files)
	var read, all int64
	for _, f := range files {
		all += f.size
	}
	for i, f := range files {
		if err := v.file(f, i == len(files)-1); err != nil {
			return v.Checked, err
		}
		if read += f.size; progress != nil {
			progress(read, all)
		}
	}
	v.Head = Head{v.chain.seq, v.chain.last.String()}
	if !v.removed {
		return v.Checked, &BadLine{files[0].path, 1, ErrMissing}
	}
	return v.Checked, nil
}

// Reaches checks that a log goes as far as it once was, by what somebody noted then.
func Reaches(dir string, once Head) error {
	files, err := list(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		file, err := os.Open(f.path)
		if err != nil {
			return err
		}
		seq, found, same := f.first-1, false, false
		err = lines(file, func(line []byte, _ bool) error {
			if seq++; seq == once.Seq {
				found, same = true, digest(sha256.Sum256(line)).String() == once.Hash
			}
			return nil
		})
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		if found && !same {
			return &BadLine{f.path, int(once.Seq-f.first) + 1, errors.New("not the line that it once was")}
		}
		if found {
			return nil
		}
	}
	if len(files) > 0 && once.Seq < files[0].first {
		return fmt.Errorf("line %d is older than the log, which begins with %d", once.Seq, files[0].first)
	}
	return fmt.Errorf("there is no line %d: %w", once.Seq, ErrCut)
}

// verifier goes along a log.
type verifier struct {
	Checked
	key     func(kid string) ed25519.PublicKey
	chain   chain
	at      place // the last line
	begun   bool
	removed bool   // the log has its beginning, or says what became of it
	doubt   *doubt // nil for none
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

// header is what every line has.
type header struct {
	Seq  uint64    `json:"seq"`
	Prev string    `json:"prev"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`

	KeyID   string `json:"kid"`     // of a checkpoint
	Sig     string `json:"sig"`     // of a checkpoint
	Missing uint64 `json:"missing"` // of a gap
	Last    uint64 `json:"last"`    // of a removal
}

func (v *verifier) file(f file, last bool) (err error) {
	here := place{f.path, 0}
	if f.first != v.chain.seq+1 {
		return place{f.path, 1}.bad(fmt.Errorf("%w: it should be number %d", ErrChain, v.chain.seq+1))
	}
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	err = lines(in, func(line []byte, whole bool) error {
		here.line++
		if !whole && last && v.Torn == 0 && len(line) <= lineMax {
			v.Torn = len(line)
			return nil
		}
		if !whole || v.Torn > 0 {
			return here.bad(ErrNoLine)
		}
		return v.line(line, here)
	})
	if err == nil && last && v.doubt != nil {
		err = v.doubt.settle(false)
	}
	return err
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
	}
	v.count(h)
	v.chain, v.at, v.begun = chain{h.Seq, sum}, here, true
	return nil
}

func (v *verifier) count(h *header) {
	v.Lines++
	switch h.Kind {
	case KindGap:
		v.Missing += h.Missing
	case KindRemoved: // several may be, one after the other
		v.removed = v.removed || h.Last == v.First-1
	}
}

func (v *verifier) checkpoint(h *header, line []byte) error {
	if h.Kind != KindCheckpoint {
		return fmt.Errorf("%w: it is signed and no checkpoint", ErrChanged)
	}
	if v.key == nil {
		return nil
	}
	if h.KeyID == "" {
		return errNoSignature
	}
	key := v.key(h.KeyID)
	if key == nil {
		return fmt.Errorf("signed with the key %q, which is not among those given", h.KeyID)
	}
	if err := checkSignature(line, key); err != nil {
		return err
	}
	v.Checkpoints++
	v.Signed = h.Seq
	return nil
}

// parse reads what every line has.
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
	return &h, nil
}
