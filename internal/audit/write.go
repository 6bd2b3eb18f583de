package audit

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// The caller of the functions of this file holds l.disk, but for writePendingLines.

// writePendingLines writes what is pending. After a failure, the next maintenance does.
func (l *Log) writePendingLines() {
	l.disk.Lock()
	defer l.disk.Unlock()
	if l.State().Err != nil {
		return
	}
	if err := l.writeUnwrittenLines(); err != nil {
		l.reportWriteFailure(err)
	}
}

// writeAndSync writes and syncs what is pending.
func (l *Log) writeAndSync() { l.syncWrittenLines(l.writeUnwrittenLines()) }

// syncWrittenLines syncs what was written, if err is nil, and reports whether all is on the
// disk.
func (l *Log) syncWrittenLines(err error) bool {
	if err == nil && l.dirty {
		err = l.out.Sync()
	}
	if err != nil {
		l.reportWriteFailure(err)
		return false
	}
	l.dirty = false
	l.markLinesWritten()
	return true
}

// takePendingLines moves what is pending to writing, if that is empty. The caller holds l.mu.
func (l *Log) takePendingLines() {
	if len(l.writing) == 0 {
		l.writing, l.pending = l.pending, l.writing
		l.written = l.chain
	}
}

// writeUnwrittenLines writes what could not be written before, and what is pending.
func (l *Log) writeUnwrittenLines() error {
	for range 2 {
		l.mu.Lock()
		l.takePendingLines()
		l.mu.Unlock()
		if err := l.writeTakenLines(); err != nil {
			return err
		}
	}
	return nil
}

// writeTakenLines writes whole lines or nothing: half a line would be damage.
func (l *Log) writeTakenLines() error {
	if len(l.writing) == 0 {
		return nil
	}
	if err := l.prepareWriting(time.Now()); err != nil {
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

// reportWriteFailure records a failure, and logs it once until it is over.
func (l *Log) reportWriteFailure(err error) {
	l.mu.Lock()
	first := l.failure.err == nil
	if first {
		l.failure.since = time.Now()
	}
	l.failure.err = err
	l.mu.Unlock()
	if first {
		l.log.Error("cannot write the audit log: what happens is kept in memory while there is room, then only counted", "dir", l.cfg.Dir, "err", err)
	}
}

// markLinesWritten records that all of writing is on the disk. One line stands for those that
// had no room.
func (l *Log) markLinesWritten() {
	l.mu.Lock()
	l.synced = l.written
	t := l.failure
	l.failure = writeFailure{}
	if t.lost > 0 {
		now := time.Now()
		l.addLine(now, KindGap, t.missingLinesAttrs()...)
		l.signPendingLines(now, false)
	}
	l.mu.Unlock()
	switch {
	case t.err != nil:
		l.log.Warn("the audit log can be written again", "dir", l.cfg.Dir, "after", time.Since(t.since).Round(time.Second).String(), "lines_missing", t.lost)
	case t.lost > 0:
		l.log.Error("lines are missing in the audit log: more came than could be written", "dir", l.cfg.Dir, "lines_missing", t.lost)
	}
}

// replaceRemovedFile begins another file if somebody has removed the present one, whose
// lines are lost, and records that in it.
func (l *Log) replaceRemovedFile(now time.Time) {
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
		err = l.createLogFile(now.UTC().Truncate(24*time.Hour), l.written.seq+1)
	}
	if err != nil {
		l.reportWriteFailure(err)
		return
	}
	l.log.Error("somebody removed the file of the audit log that was being written: what was in it is lost, and the log goes on in another", "file", gone.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addLine(now, KindGone, slog.Uint64("first", gone.first), slog.Uint64("last", l.written.seq))
}

// missingLinesAttrs returns the attributes of the line that stands for the missing ones.
func (t *writeFailure) missingLinesAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.Uint64("missing", t.lost)}
	if t.err == nil {
		return append(attrs, slog.String("because", "more came than could be written"))
	}
	return append(attrs, slog.String("since", t.since.UTC().Format(timeFormat)), slog.String("because", t.err.Error()))
}

// rotateLogFile begins the next file if the present one is full or of another day. If it
// cannot, the present one grows.
func (l *Log) rotateLogFile(now time.Time) {
	today := now.UTC().Truncate(24 * time.Hour)
	if l.size == 0 || l.State().Err != nil || l.size < l.fileMax && today.Equal(l.day) {
		return
	}
	l.mu.Lock()
	l.signPendingLines(now, false)
	l.takePendingLines() // writing is empty without a failure
	l.mu.Unlock()
	if !l.syncWrittenLines(l.writeTakenLines()) {
		return
	}
	err := l.createLogFile(today, l.written.seq+1)
	if err != nil && !l.rotationFailed {
		l.log.Error("cannot begin a new file of the audit log: the old one grows", "err", err)
	}
	if l.rotationFailed = err != nil; !l.rotationFailed {
		l.removeOldFiles(now)
	}
}

// createLogFile creates the file that begins with a line's number.
func (l *Log) createLogFile(today time.Time, first uint64) error {
	out, err := os.OpenFile(l.logFilePath(first), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if l.out != nil {
		_ = l.out.Close() // it is synced
	}
	l.out, l.size, l.day = out, 0, today
	l.files = append(l.files, logFile{path: l.logFilePath(first), first: first})
	return atomicfile.SyncDir(l.cfg.Dir)
}

// removeOldFiles removes the oldest files while the log is too big. A signed line records
// it before: a crash in between leaves a file too many, not a missing one.
func (l *Log) removeOldFiles(now time.Time) {
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
	l.addLine(now, KindRemoved, slog.Uint64("first", l.files[0].first), slog.Uint64("last", l.files[gone].first-1))
	l.signPendingLines(now, false)
	l.mu.Unlock()
	if l.writeAndSync(); l.State().Err != nil {
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
