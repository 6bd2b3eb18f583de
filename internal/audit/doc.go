// Package audit writes a tamper-evident log, verifies it and reads it.
//
// It is a directory of files of JSON lines. Each line has a sequence number and
// the SHA-256 of the line before, so that none can be changed, removed or
// inserted without changing all that follow:
//
//	{"seq":7,"prev":"BASE64URL","time":"2026-11-23T10:00:00.123Z","kind":"transition","agent":"001",…}
//
// In every minute in which something was written, at the end of each file and at
// that of the log, a checkpoint signs what is before it, so that the lines cannot be
// rewritten without the key either. A file is closed when it is big enough
// or the day (UTC) is over; the chain goes on in the next. The oldest files are
// removed when all together are too big, after a signed line has recorded that.
//
// Nothing that is not signed changes how a log is checked. A log that did not end
// with a signed line goes on with a not_closed line: what was unsigned before it stays
// so, since it may be foreign, and the checkpoint after it does not sign it.
// A log that was closed goes on with a checkpoint, so that an unsigned line behind
// the end is detected as foreign.
//
// What cannot be seen in the files is that the newest lines were cut off behind a
// checkpoint: for that, somebody else must have a [Head] of
// the log. Nor does it help against somebody with the key.
//
// [Log] writes, [Verify] checks, [Read] returns lines. [Open] starts one
// goroutine, which does all the writing: [Log.Add] never waits for the disk.
// [Log.Close] ends it.
package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lineMax is how long a line may be, without its end.
const lineMax = 64 << 10

// The kinds of line that a log writes of itself.
const (
	KindCheckpoint = "checkpoint" // signs all lines before it
	KindGap        = "gap"        // lines that could not be written are missing here
	KindNotClosed  = "not_closed" // the log ended without a signed end before: a crash, kill -9, a power cut, a foreign line. What was unsigned stays so
	KindGone       = "gone"       // somebody removed the file that was being written
	KindRemoved    = "removed"    // a file was removed, as the log was too big
)

// Signer signs checkpoints.
type Signer interface {
	KeyID() string
	Sign(message []byte) []byte          // Ed25519
	Public(kid string) ed25519.PublicKey // its own, and of keys that signed before it; nil for an unknown one
}

// digest is the hash of a line without its newline.
type digest [sha256.Size]byte

func (d digest) String() string { return base64URL.EncodeToString(d[:]) }

const (
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
)

// logFileName returns the name of the file that begins with a line's number.
func logFileName(first uint64) string {
	return fmt.Sprintf("%s%015d%s", filePrefix, first, fileSuffix)
}

// logFile is a file of a log.
type logFile struct {
	path    string
	first   uint64 // its first line's number
	size    int64
	changed time.Time
}

// listLogFiles returns a log's files, oldest first. Other files are ignored.
func listLogFiles(dir string) ([]logFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	var files []logFile
	for _, e := range entries {
		number := strings.TrimSuffix(strings.TrimPrefix(e.Name(), filePrefix), fileSuffix)
		first, err := strconv.ParseUint(number, 10, 63)
		if err != nil || logFileName(first) != e.Name() || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list the audit log: %w", err)
		}
		files = append(files, logFile{filepath.Join(dir, e.Name()), first, info.Size(), info.ModTime()})
	}
	slices.SortFunc(files, func(a, b logFile) int { return int(int64(a.first) - int64(b.first)) })
	return files, nil
}
