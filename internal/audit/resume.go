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

// resumeChain continues the chain from the last line in the directory. If the log was not
// closed, a line records that, and half a line left by a crash is cut off.
func (l *Log) resumeChain() (err error) {
	if err := l.openLogDir(); err != nil && !statedir.IsFull(err) {
		return err
	}
	if l.files, err = listLogFiles(l.cfg.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := time.Now()
	if len(l.files) == 0 {
		return l.startAfterChain(now)
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
	end, err := l.scanLastFile(last)
	if err != nil {
		return fmt.Errorf("read the audit log %s: %w", last.path, err)
	}
	l.written, l.synced = l.chain, l.chain
	switch {
	case end.torn > lineMax: // no crash leaves that: the file stays as it is
		_ = l.out.Close()
		l.out = nil
		err = l.startAfterChain(now)
	case end.torn > 0:
		if err = l.out.Truncate(l.size); err != nil {
			err = fmt.Errorf("take half a line from the audit log: %w", err)
		}
	}
	switch {
	case err != nil || l.chain.seq == 0:
	case end.closed: // so that foreign lines behind the end are detected
		l.appendSignedCheckpoint(now, false)
		if end.torn > 0 { // somebody has
			l.recordUnsignedLines(now, end)
		}
	default:
		l.recordUnsignedLines(now, end)
	}
	return err
}

// recordUnsignedLines records that the lines behind the last signature are of an earlier run. The
// checkpoint follows at once, so that the record cannot be removed again.
func (l *Log) recordUnsignedLines(now time.Time, e fileEnd) {
	if l.unsigned > 0 || e.torn > 0 {
		l.log.Warn("the audit log was not closed: its last lines are not signed, and stay so", "dir", l.cfg.Dir, "unsigned", l.unsigned, "torn_bytes", max(e.torn-1, 0))
	}
	l.addLine(now, KindNotClosed, slog.Int("unsigned", l.unsigned), slog.Int64("torn_bytes", max(e.torn-1, 0)))
	l.signPendingLines(now, false)
}

// openLogDir makes and locks the log's directory, unless that is done.
func (l *Log) openLogDir() (err error) {
	if l.lock != nil {
		return nil
	}
	if err := os.MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the audit log's directory: %w", err)
	}
	l.lock, err = filelock.Acquire(lockFilePath(l.cfg.Dir))
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return fmt.Errorf("lock the audit log %s: another Pulse is using it", l.cfg.Dir)
	case err != nil:
		return fmt.Errorf("lock the audit log: %w", err)
	}
	return nil
}

// lockFilePath is the file that a process which writes the log has locked.
func lockFilePath(dir string) string { return filepath.Join(dir, "lock") }

// startAfterChain begins a file after the chain's end. On a full disk, the next write does.
func (l *Log) startAfterChain(now time.Time) error {
	l.first = l.chain.seq + 1
	if err := l.prepareWriting(now); err != nil {
		if !statedir.IsFull(err) {
			return fmt.Errorf("begin the audit log: %w", err)
		}
		l.reportWriteFailure(err)
	}
	return nil
}

// prepareWriting makes the directory and the file. The caller holds l.disk.
func (l *Log) prepareWriting(now time.Time) error {
	if l.out == nil {
		if err := l.openLogDir(); err != nil {
			return err
		}
		if err := l.createLogFile(now.UTC().Truncate(24*time.Hour), l.first); err != nil {
			return err
		}
	}
	if l.cfg.Ready == nil {
		return nil
	}
	return l.cfg.Ready()
}

// fileEnd is the state of the last file's end.
type fileEnd struct {
	closed bool  // the last line is a valid checkpoint that closes
	forged bool  // there is an invalid checkpoint
	torn   int64 // bytes after the last whole line, and one for the missing newline
}

// scanLastFile reads the last file up to its last whole line.
func (l *Log) scanLastFile(f logFile) (e fileEnd, err error) {
	l.chain.seq = f.first - 1
	if len(l.files) > 1 {
		if l.chain.last, err = lastLineDigest(l.files[len(l.files)-2].path); err != nil {
			return e, err
		}
	}
	err = scanFileLines(l.out, func(line []byte, whole bool) error {
		if !whole || e.torn > 0 {
			e.torn += int64(len(line)) + 1
			return nil
		}
		l.unsigned++
		e.closed = false
		if bytes.Contains(line, []byte(`"kind":"`+KindCheckpoint+`"`)) && !e.forged {
			h, good := l.parseNextCheckpoint(line)
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

// parseNextCheckpoint reports whether a line is a checkpoint of this log, next in the chain.
func (l *Log) parseNextCheckpoint(line []byte) (*header, bool) {
	h, err := parseLineHeader(line)
	if err != nil || h.Kind != KindCheckpoint || h.Seq != l.chain.seq+1 || h.Prev != l.chain.last.String() {
		return nil, false
	}
	key := l.cfg.Signer.Public(h.keyID)
	return h, key != nil && checkSignature(line, key) == nil
}

func lastLineDigest(path string) (d digest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	err = scanFileLines(f, func(line []byte, _ bool) error { d = sha256.Sum256(line); return nil })
	return d, err
}

// scanFileLines calls each with every line, without its newline, and with what follows the
// last one, which is not whole. A line longer than lineMax comes in parts.
func scanFileLines(r io.Reader, each func(line []byte, whole bool) error) error {
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
