package audit

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// The functions of this file are for who holds the disk.

// put writes what is pending, unless that is in trouble: then the next round does.
func (l *Log) put() {
	l.disk.Lock()
	defer l.disk.Unlock()
	if l.State().Err != nil {
		return
	}
	if err := l.write(); err != nil {
		l.fail(err)
	}
}

// flush writes what is pending and brings it to the disk itself.
func (l *Log) flush() { l.sync(l.write()) }

// sync brings to the disk itself what was written without an error, and reports
// whether it is there.
func (l *Log) sync(err error) bool {
	if err == nil && l.dirty {
		err = l.out.Sync()
	}
	if err != nil {
		l.fail(err)
		return false
	}
	l.dirty = false
	l.written()
	return true
}

// take takes what is pending, if nothing is taken already.
func (l *Log) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeLocked()
}

func (l *Log) takeLocked() {
	if len(l.writing) == 0 {
		l.writing, l.pending = l.pending, l.writing
		l.reaches = l.chain
	}
}

// write writes what was taken before, which failed then, and what is pending.
func (l *Log) write() error {
	for range 2 {
		l.take()
		if err := l.writeTaken(); err != nil {
			return err
		}
	}
	return nil
}

// writeTaken writes whole lines or nothing: half a line would not be read again.
func (l *Log) writeTaken() error {
	if len(l.writing) == 0 {
		return nil
	}
	if err := l.prepare(time.Now()); err != nil {
		return err
	}
	if _, err := l.out.WriteAt(l.writing, l.size); err != nil {
		return errors.Join(err, l.out.Truncate(l.size))
	}
	l.size += int64(len(l.writing))
	l.files[len(l.files)-1].size = l.size
	if l.writing = l.writing[:0]; cap(l.writing) > 16*writeSize {
		l.writing = nil // after a storm, its memory is not kept
	}
	l.dirty = true
	return nil
}

// fail says so once.
func (l *Log) fail(err error) {
	l.mu.Lock()
	first := l.trouble.err == nil
	if first {
		l.trouble.since = time.Now()
	}
	l.trouble.err = err
	l.mu.Unlock()
	if first {
		l.log.Error("cannot write the audit log: what happens is kept in memory while there is room, then only counted", "dir", l.cfg.Dir, "err", err)
	}
}

// written notes that all that was taken is on the disk. A line stands for those
// that had no room.
func (l *Log) written() {
	l.mu.Lock()
	l.safe = l.reaches
	t := l.trouble
	l.trouble = trouble{}
	if t.lost > 0 {
		now := time.Now()
		l.add(now, KindGap, t.gap()...)
		l.checkpoint(now, false)
	}
	l.mu.Unlock()
	switch {
	case t.err != nil:
		l.log.Warn("the audit log can be written again", "dir", l.cfg.Dir, "after", time.Since(t.since).Round(time.Second).String(), "lines_missing", t.lost)
	case t.lost > 0:
		l.log.Error("lines are missing in the audit log: more came than could be written", "dir", l.cfg.Dir, "lines_missing", t.lost)
	}
}

// look sees whether somebody has removed the file that is written. What was in it is
// lost; the log goes on in another, in which it says so.
func (l *Log) look(now time.Time) {
	info, err := l.out.Stat()
	if err != nil || len(l.writing) > 0 {
		return
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Nlink > 0 {
		return
	}
	gone := l.files[len(l.files)-1]
	err = os.MkdirAll(l.cfg.Dir, 0o700)
	if err == nil {
		err = l.begin(now.UTC().Truncate(24*time.Hour), l.reaches.seq+1)
	}
	if err != nil {
		l.fail(err)
		return
	}
	l.log.Error("somebody removed the file of the audit log that was being written: what was in it is lost, and the log goes on in another", "file", gone.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(now, KindGone, slog.Uint64("first", gone.first), slog.Uint64("last", l.reaches.seq))
}

// gap is what a line says of those that are missing.
func (t *trouble) gap() []slog.Attr {
	attrs := []slog.Attr{slog.Uint64("missing", t.lost)}
	if t.err == nil {
		return append(attrs, slog.String("because", "more came than could be written"))
	}
	return append(attrs, slog.String("since", t.since.UTC().Format(timeFormat)), slog.String("because", t.err.Error()))
}

// turn closes a file that is big enough, or of another day, and begins the next.
// While it cannot, the file grows.
func (l *Log) turn(now time.Time) {
	today := now.UTC().Truncate(24 * time.Hour)
	if l.size == 0 || l.State().Err != nil || l.size < l.fileMax && today.Equal(l.day) {
		return
	}
	l.mu.Lock()
	l.checkpoint(now, false)
	l.takeLocked() // nothing was taken: writing is in no trouble
	l.mu.Unlock()
	if !l.sync(l.writeTaken()) {
		return
	}
	err := l.begin(today, l.reaches.seq+1)
	if err != nil && !l.stuck {
		l.log.Error("cannot begin a new file of the audit log: the old one grows", "err", err)
	}
	if l.stuck = err != nil; !l.stuck {
		l.limit(now)
	}
}

// begin begins a file whose first line has a number.
func (l *Log) begin(today time.Time, first uint64) error {
	out, err := os.OpenFile(l.path(first), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if l.out != nil {
		_ = l.out.Close() // it is synced
	}
	l.out, l.size, l.day = out, 0, today
	l.files = append(l.files, file{path: l.path(first), first: first})
	return atomicfile.SyncDir(l.cfg.Dir)
}

// limit removes the oldest files while all are too big. A signed line on the disk
// says so first: a crash between leaves a file too many, and not one that is missing.
func (l *Log) limit(now time.Time) {
	total, gone := int64(0), 0
	for _, f := range l.files {
		total += f.size
	}
	for len(l.files)-gone > 2 && total > l.cfg.Max-l.fileMax {
		total -= l.files[gone].size
		gone++
	}
	if gone == 0 {
		return
	}
	l.mu.Lock()
	l.add(now, KindRemoved, slog.Uint64("first", l.files[0].first), slog.Uint64("last", l.files[gone].first-1))
	l.checkpoint(now, false)
	l.mu.Unlock()
	if l.flush(); l.State().Err != nil {
		return
	}
	for _, f := range l.files[:gone] {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Error("cannot remove an old file of the audit log", "err", err)
			return
		}
		l.files = l.files[1:]
	}
}
