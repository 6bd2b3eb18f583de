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

// Checked is the result of a check.
type Checked struct {
	Files       int    `json:"files"`
	Lines       uint64 `json:"lines"`
	First       uint64 `json:"first_seq"`             // older ones were removed if it is not 1
	Signed      uint64 `json:"signed_seq"`            // the last line that a checkpoint signs; 0 for none
	Checkpoints uint64 `json:"checkpoints"`           // with a good signature
	Unsigned    uint64 `json:"unsigned"`              // lines before that which no checkpoint signs: their run was killed first, or they are foreign
	UnsignedAt  []Span `json:"unsigned_at,omitempty"` // where those are; the first 100
	Missing     uint64 `json:"missing"`               // lines that could not be written at their time, as the log records
	NotClosed   uint64 `json:"not_closed"`            // how often Pulse ended without closing the log
	Closed      bool   `json:"closed"`                // the last line closes the log
	Live        bool   `json:"live"`                  // it is being written
	Torn        int    `json:"torn_bytes"`            // of a line that is being written
	Heads       int    `json:"heads"`                 // how many of the heads are in the log
	Head        Head   `json:"head"`                  // the last line
}

// Span is a range of lines, by number.
type Span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// spansMax is how many spans are listed.
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

// Check is what a log is verified with. The zero value checks the chain only.
type Check struct {
	Key      func(kid string) ed25519.PublicKey // nil for a key that is not trusted; without it, signatures are not checked
	Heads    []Head                             // that the log must have. Those before its first line are ignored
	Progress func(read, all int64)              // called with the bytes read and all bytes; may be nil
}

// Verify checks the log in a directory. An error that is a [*BadLine] names the
// first line that is wrong.
func Verify(dir string, check Check) (Checked, error) {
	files, err := listLogFiles(dir)
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
	v.First, v.Files, v.Live = files[0].first, len(files), filelock.IsLocked(lockFilePath(dir))
	v.progress = newProgress(files, check.Progress)
	for i, f := range files {
		if err := v.checkLogFile(f, i == len(files)-1); err != nil {
			return v.Checked, err
		}
	}
	v.Head = Head{v.chain.seq, v.chain.last.String()}
	if v.removed < v.First-1 {
		return v.Checked, &BadLine{files[0].path, 1, ErrMissing}
	}
	if len(v.heads) > 0 {
		once := v.heads[len(v.heads)-1].Seq
		return v.Checked, &BadLine{files[len(files)-1].path, v.position.line + 1,
			fmt.Errorf("%w: the log had line %d once, and ends with %d", ErrCut, once, v.chain.seq)}
	}
	return v.Checked, nil
}

// progress reports how far reading is.
type progress struct {
	read, reported, all int64
	report              func(read, all int64)
}

func newProgress(files []logFile, tell func(read, all int64)) progress {
	p := progress{report: tell}
	for _, f := range files {
		p.all += f.size
	}
	return p
}

// progressStep is how many bytes are read between two reports.
const progressStep = 1 << 20

func (p *progress) addBytes(n int) {
	p.read += int64(n)
	if p.report != nil && (p.read-p.reported >= progressStep || p.read >= p.all) {
		p.reported = p.read
		p.report(p.read, p.all)
	}
}

func (v *verifier) checkLogFile(f logFile, last bool) (err error) {
	here := linePosition{f.path, 0}
	if f.first != v.chain.seq+1 {
		return linePosition{f.path, 1}.badLine(fmt.Errorf("%w: it should be number %d", ErrChain, v.chain.seq+1))
	}
	in, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	defer in.Close()
	err = scanFileLines(in, func(line []byte, whole bool) error {
		here.line++
		v.progress.addBytes(len(line) + 1)
		if !whole && last && len(line) <= lineMax {
			return v.checkTornLine(line, here)
		}
		if !whole || v.Torn > 0 {
			return here.badLine(ErrNoLine)
		}
		return v.checkLine(line, here)
	})
	if err == nil && last && v.mismatch != nil {
		err = v.mismatch.changedLineError(false)
	}
	return err
}

// checkTornLine accepts half a line at the end of a log that is being written.
func (v *verifier) checkTornLine(line []byte, here linePosition) error {
	if !v.Live || v.Torn > 0 {
		return here.badLine(ErrTorn)
	}
	v.Torn = len(line)
	return nil
}
