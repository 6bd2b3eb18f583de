package audit

import (
	"errors"
	"log/slog"
	"os"
	"time"
)

// flush writes what is pending and brings it to the disk itself.
func (l *Log) flush() {
	err := l.write()
	if err == nil && l.dirty {
		err = l.out.Sync()
	}
	if err != nil {
		l.fail(err)
		return
	}
	l.dirty = false
	l.recover()
}

// write writes what is pending, whole or not at all: half a line would not be read
// again.
func (l *Log) write() error {
	if len(l.pending) == 0 {
		return nil
	}
	if _, err := l.out.WriteAt(l.pending, l.size); err != nil {
		return errors.Join(err, l.out.Truncate(l.size))
	}
	l.size += int64(len(l.pending))
	l.files[len(l.files)-1].size = l.size
	l.pending = l.pending[:0]
	l.dirty = true
	return nil
}

// fail says so once.
func (l *Log) fail(err error) {
	if l.trouble.err == nil {
		l.trouble.since = time.Now()
		l.log.Error("cannot write the audit log: what happens is kept in memory while there is room, then only counted", "dir", l.cfg.Dir, "err", err)
	}
	l.trouble.err = err
}

// recover says that all that was pending is written. A line stands for those that
// had no room.
func (l *Log) recover() {
	t := l.trouble
	if t.err == nil {
		return
	}
	l.trouble = trouble{}
	l.log.Warn("the audit log can be written again", "dir", l.cfg.Dir, "after", time.Since(t.since).Round(time.Second).String(), "lines_missing", t.lost)
	if t.lost > 0 {
		l.add(time.Now(), KindGap, slog.Uint64("missing", t.lost), slog.Time("since", t.since.UTC()), slog.String("because", t.err.Error()))
	}
}

// turn closes a file that is big enough, or of another day, and begins the next.
// While it cannot, the file grows.
func (l *Log) turn(now time.Time) {
	today := now.UTC().Truncate(24 * time.Hour)
	if l.size == 0 || l.trouble.err != nil || l.size < l.cfg.FileMax && today.Equal(l.day) {
		return
	}
	l.checkpoint(now)
	if l.flush(); l.trouble.err != nil {
		return
	}
	err := l.begin(today)
	if err != nil && !l.stuck {
		l.log.Error("cannot begin a new file of the audit log: the old one grows", "err", err)
	}
	if l.stuck = err != nil; !l.stuck {
		l.limit(now)
	}
}

// begin begins a file.
func (l *Log) begin(today time.Time) error {
	path := l.path(l.chain.seq + 1)
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if l.out != nil {
		_ = l.out.Close() // it is synced
	}
	l.out, l.size, l.day = out, 0, today
	l.files = append(l.files, file{path: path, first: l.chain.seq + 1})
	return syncDir(l.cfg.Dir)
}

// limit removes the oldest files while all are too big.
func (l *Log) limit(now time.Time) {
	total := int64(0)
	for _, f := range l.files {
		total += f.size
	}
	for len(l.files) > 1 && total > l.cfg.Max-l.cfg.FileMax {
		f := l.files[0]
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Error("cannot remove an old file of the audit log", "err", err)
			return
		}
		total -= f.size
		l.files = l.files[1:]
		l.add(now, KindRemoved, slog.Uint64("first", f.first), slog.Uint64("last", l.files[0].first-1))
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
