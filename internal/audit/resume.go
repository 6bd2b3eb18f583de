package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// resume finds the end of the log in the directory. If that was not closed, the log
// says so, and what a crash left of a line is taken away.
func (l *Log) resume() (err error) {
	if err := l.openDir(); err != nil && !statedir.IsFull(err) {
		return err
	}
	if l.files, err = list(l.cfg.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := time.Now()
	if len(l.files) == 0 {
		return l.beginAgain(now)
	}
	last := l.files[len(l.files)-1]
	if l.out, err = os.OpenFile(last.path, os.O_RDWR, 0); err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	if info, err := l.out.Stat(); err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	} else {
		l.day = info.ModTime().UTC().Truncate(24 * time.Hour)
	}
	end, err := l.end(last)
	if err != nil {
		return fmt.Errorf("read the audit log %s: %w", last.path, err)
	}
	l.reaches, l.safe = l.chain, l.chain
	switch {
	case end.torn > lineMax: // no crash leaves that: let it be as it is
		_ = l.out.Close()
		l.out = nil
		err = l.beginAgain(now)
	case end.torn > 0:
		if err = l.out.Truncate(l.size); err != nil {
			err = fmt.Errorf("take half a line from the audit log: %w", err)
		}
	}
	switch {
	case err != nil || l.chain.seq == 0:
	case end.closed: // so that nobody else can write behind the end
		l.appendCheckpoint(now, false)
	default:
		l.disown(now, end)
	}
	return err
}

// disown says of what is behind the last signature that this life did not write
// it. The checkpoint comes at once, so that nobody can take the line away again.
func (l *Log) disown(now time.Time, e end) {
	if l.unsigned > 0 || e.torn > 0 {
		l.log.Warn("the audit log was not closed: its last lines are not signed, and stay so", "dir", l.cfg.Dir, "unsigned", l.unsigned, "torn_bytes", max(e.torn-1, 0))
	}
	l.add(now, KindNotClosed, slog.Int("unsigned", l.unsigned), slog.Int64("torn_bytes", max(e.torn-1, 0)))
	l.checkpoint(now, false)
}

// openDir makes the log's directory and locks it, as far as that is not done yet.
func (l *Log) openDir() (err error) {
	if l.lock != nil {
		return nil
	}
	if err := os.MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the audit log's directory: %w", err)
	}
	l.lock, err = filelock.Acquire(lockPath(l.cfg.Dir))
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return fmt.Errorf("lock the audit log %s: another Pulse is using it", l.cfg.Dir)
	case err != nil:
		return fmt.Errorf("lock the audit log: %w", err)
	}
	return nil
}

// lockPath is the file that a process which writes the log has locked.
func lockPath(dir string) string { return filepath.Join(dir, "lock") }

// beginAgain begins a file behind the chain's end. On a full disk, that is left to the
// next write.
func (l *Log) beginAgain(now time.Time) error {
	l.first = l.chain.seq + 1
	if err := l.prepare(now); err != nil {
		if !statedir.IsFull(err) {
			return fmt.Errorf("begin the audit log: %w", err)
		}
		l.fail(err)
	}
	return nil
}

// prepare makes what writing needs. The caller holds the disk.
func (l *Log) prepare(now time.Time) error {
	if l.out == nil {
		if err := l.openDir(); err != nil {
			return err
		}
		if err := l.begin(now.UTC().Truncate(24*time.Hour), l.first); err != nil {
			return err
		}
	}
	if l.cfg.Ready == nil {
		return nil
	}
	return l.cfg.Ready()
}

// end is how the last file ends.
type end struct {
	closed bool  // the last line is a good checkpoint, which says so
	forged bool  // there is a checkpoint that is none
	torn   int64 // how many bytes come behind the last whole line, and one: what should be its end
}

// end reads the last file for its last whole line.
func (l *Log) end(f file) (e end, err error) {
	l.chain.seq = f.first - 1
	if len(l.files) > 1 {
		if l.chain.last, err = lastDigest(l.files[len(l.files)-2].path); err != nil {
			return e, err
		}
	}
	err = lines(l.out, func(line []byte, whole bool) error {
		if !whole || e.torn > 0 {
			e.torn += int64(len(line)) + 1
			return nil
		}
		l.unsigned++
		e.closed = false
		if bytes.Contains(line, []byte(`"kind":"`+KindCheckpoint+`"`)) && !e.forged {
			h, good := l.signedBefore(line)
			if e.forged = !good; good {
				l.unsigned, e.closed = 0, h.closed
			}
		}
		l.chain = chain{l.chain.seq + 1, sha256.Sum256(line)}
		l.size += int64(len(line)) + 1
		return nil
	})
	return e, err
}

// signedBefore reports whether a line is the chain's next, and a checkpoint of this log's.
func (l *Log) signedBefore(line []byte) (*header, bool) {
	h, err := parse(line)
	if err != nil || h.Kind != KindCheckpoint || h.Seq != l.chain.seq+1 || h.Prev != l.chain.last.String() {
		return nil, false
	}
	key := l.cfg.Signer.Public(h.keyID)
	return h, key != nil && checkSignature(line, key) == nil
}

func lastDigest(path string) (d digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	err = lines(f, func(line []byte, _ bool) error { d = sha256.Sum256(line); return nil })
	return d, err
}

// lines calls each with every line, without its end, and with what comes behind
// the last, which is not whole. A line longer than lineMax comes in parts.
func lines(r io.Reader, each func(line []byte, whole bool) error) error {
	buffer, n := make([]byte, lineMax+1), 0
	for {
		got, err := r.Read(buffer[n:])
		n += got
		from := 0
		for {
			end := bytes.IndexByte(buffer[from:n], '\n')
			if end < 0 {
				break
			}
			if err := each(buffer[from:from+end], true); err != nil {
				return err
			}
			from += end + 1
		}
		n = copy(buffer, buffer[from:n])
		if err == io.EOF || n == len(buffer) {
			if n > 0 {
				if err := each(buffer[:n], false); err != nil {
					return err
				}
			}
			n = 0
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
