package audit

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/wazuh-pulse/pulse/internal/filelock"
)

// Checked is what a log was found to be.
type Checked struct {
	Files       int    `json:"files"`
	Lines       uint64 `json:"lines"`
	First       uint64 `json:"first_seq"`             // older ones were removed if it is not 1
	Signed      uint64 `json:"signed_seq"`            // the last line that a checkpoint signs; 0 for none
	Checkpoints uint64 `json:"checkpoints"`           // with a good signature
	Unsigned    uint64 `json:"unsigned"`              // lines before that which no checkpoint signs: their life was killed first, or somebody else wrote them
	UnsignedAt  []Span `json:"unsigned_at,omitempty"` // where those are; the first 100
	Missing     uint64 `json:"missing"`               // lines that could not be written at their time, as the log says itself
	NotClosed   uint64 `json:"not_closed"`            // how often Pulse ended without a word
	Closed      bool   `json:"closed"`                // the last line says that it is the end
	Live        bool   `json:"live"`                  // it is being written
	Torn        int    `json:"torn_bytes"`            // of a line that is just being written
	Heads       int    `json:"heads"`                 // how many of the heads are in the log
	Head        Head   `json:"head"`                  // the last line
}

// Span are lines that follow each other, by number.
type Span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// spansMax is how many are listed.
const spansMax = 100

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
	ErrChanged  = errors.New("the line was changed")
	ErrChain    = errors.New("lines were removed or inserted before it")
	ErrNoLine   = errors.New("not a line of an audit log")
	ErrTorn     = errors.New("the line is not whole: it was changed or cut, or Pulse was killed while it wrote, and then its next start says so")
	ErrAfterEnd = errors.New("it follows a line that closed the log, and is not signed: Pulse did not write it")
	ErrMissing  = errors.New("lines are missing at the beginning, and no signed line says that they were removed")
	ErrCut      = errors.New("lines were cut off")
	ErrAnew     = errors.New("it is another line than it once was: the log was written anew")
)

// Check is by what a log is verified. The zero value looks at the chain only.
type Check struct {
	Key      func(kid string) ed25519.PublicKey // nil for a key that is not trusted; without it, signatures are not looked at
	Heads    []Head                             // that somebody noted: the log has to have them. Those before its first line do not count
	Progress func(read, all int64)              // hears of bytes read and of all there are; nil for nobody
}

// Verify checks the log in a directory. An error that is a [*BadLine] names the
// first line that is wrong.
func Verify(dir string, check Check) (Checked, error) {
	files, err := list(dir)
	if err != nil {
		return Checked{}, err
	}
	if len(files) == 0 {
		return Checked{}, fmt.Errorf("no audit log in %s", dir)
	}
	v := verifier{key: check.Key, chain: chain{seq: files[0].first - 1}, heads: slices.Clone(check.Heads)}
	slices.SortFunc(v.heads, func(a, b Head) int { return cmp.Compare(a.Seq, b.Seq) })
	for len(v.heads) > 0 && v.heads[0].Seq < files[0].first {
		v.heads = v.heads[1:]
	}
	v.First, v.Files, v.Live = files[0].first, len(files), filelock.IsLocked(lockPath(dir))
	v.progress = newProgress(files, check.Progress)
	for i, f := range files {
		if err := v.file(f, i == len(files)-1); err != nil {
			return v.Checked, err
		}
	}
	v.Head = Head{v.chain.seq, v.chain.last.String()}
	if v.removed < v.First-1 {
		return v.Checked, &BadLine{files[0].path, 1, ErrMissing}
	}
	if len(v.heads) > 0 {
		once := v.heads[len(v.heads)-1].Seq
		return v.Checked, &BadLine{files[len(files)-1].path, v.at.line + 1,
			fmt.Errorf("%w: the log had line %d once, and ends with %d", ErrCut, once, v.chain.seq)}
	}
	return v.Checked, nil
}

// progress tells how far reading is.
type progress struct {
	read, told, all int64
	tell            func(read, all int64)
}

func newProgress(files []file, tell func(read, all int64)) progress {
	p := progress{tell: tell}
	for _, f := range files {
		p.all += f.size
	}
	return p
}

// progressStep is how many bytes are read between two reports.
const progressStep = 1 << 20

func (p *progress) add(n int) {
	p.read += int64(n)
	if p.tell != nil && (p.read-p.told >= progressStep || p.read >= p.all) {
		p.told = p.read
		p.tell(p.read, p.all)
	}
}

func (v *verifier) file(f file, last bool) (err error) {
	here := place{f.path, 0}
	if f.first != v.chain.seq+1 {
		return place{f.path, 1}.bad(fmt.Errorf("%w: it should be number %d", ErrChain, v.chain.seq+1))
	}
	in, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	defer in.Close()
	err = lines(in, func(line []byte, whole bool) error {
		here.line++
		v.progress.add(len(line) + 1)
		if !whole && last && len(line) <= lineMax {
			return v.torn(line, here)
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

// torn takes what comes behind the last whole line: it may be on its way.
func (v *verifier) torn(line []byte, here place) error {
	if !v.Live || v.Torn > 0 {
		return here.bad(ErrTorn)
	}
	v.Torn = len(line)
	return nil
}
