package clientkeys

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filewatch"
	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// ReadFile reads client.keys as [Parse] does. The error names the file. An
// empty file is a manager without agents, and no error.
func ReadFile(path string) (*Set, []Problem, error) {
	r, err := readPath(path)
	return r.set, r.problems, err
}

// reading is what a file held, and the file as it was then.
type reading struct {
	set      *Set
	problems []Problem
	info     fs.FileInfo
	torn     bool // the file changed meanwhile: this may be half of each
}

func readPath(path string) (reading, error) {
	r, err := readOpen(path)
	if err != nil {
		return reading{}, &ReadError{err}
	}
	return r, nil
}

// ReadError is why the file could not be read.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read client keys: " + e.Err.Error() }

// Unwrap is the cause.
func (e *ReadError) Unwrap() error { return e.Err }

func readOpen(path string) (r reading, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for a writer
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	before, err := f.Stat()
	if err != nil {
		return r, err
	}
	if !before.Mode().IsRegular() {
		return r, fmt.Errorf("%s is not a regular file", path)
	}
	if before.Size() > maxFile {
		return r, fmt.Errorf("%s: %w", path, errTooLarge)
	}
	if r.set, r.problems, err = parseSet(f); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.info, err = f.Stat(); err != nil {
		return r, err
	}
	r.torn = !isSameFileState(before, r.info)
	return r, nil
}

// isSameFileState reports whether a file seems unchanged between two stats of it.
func isSameFileState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

const (
	// settleTime is how long the file must be left alone before it is read, so that
	// no half-written file is taken for the whole.
	settleTime = 100 * time.Millisecond

	// cutSettleTime is the same for a file that is empty or ends within a line. It may
	// be meant so, but more likely a writer has paused there.
	cutSettleTime = time.Second

	// maxSettleTime bounds the wait for a file that is replaced again and again, as
	// when agents are enrolled by the hundred.
	maxSettleTime = 5 * time.Second

	// pollPeriod is how often the file is checked without an event, for changes that
	// inotify does not report: on a network file system, behind a symbolic link, or
	// after the watch itself failed.
	pollPeriod = 10 * time.Second
)

// Watch watches the file until ctx ends. It calls changed with every content that
// differs from the one before. The first of these is known, the content that the caller
// has from [ReadFile]; if known is nil, the first content read is reported too. An empty
// file, after a second without a change, is a content like any other.
//
// While the file cannot be read, the last content stays in effect. Failed is called once
// for each condition that Watch fails with, not for each try: with a [*ReadError] for the
// file itself, and with nil when that can be read again. Both functions are called from
// Watch's own goroutine, one at a time.
func Watch(ctx context.Context, path string, known *Set, changed func(*Set, []Problem), failed func(error)) {
	w := newWatch(path, known, changed, failed)
	filewatch.Watch(ctx, w.watchConfig(), w.handleChange)
}

// watch is the state of one Watch, owned by its goroutine.
type watch struct {
	path    string
	known   *Set
	changed func(*Set, []Problem)
	failed  func(error)

	info    fs.FileInfo // of the file last read; nil when that failed
	cut     bool        // the file ended within a line when last read, and was not used
	reading logonce.Condition
}

func newWatch(path string, known *Set, changed func(*Set, []Problem), failed func(error)) *watch {
	return &watch{path: path, known: known, changed: changed, failed: failed}
}

func (w *watch) watchConfig() filewatch.Config {
	return filewatch.Config{Paths: []string{w.path}, Settle: settleTime, SettleMax: maxSettleTime, Poll: pollPeriod,
		Failed: func(err error) {
			w.failed(fmt.Errorf("watch client keys: %w; looking every %v instead", err, pollPeriod))
		}}
}

// handleChange reads the file where it may have changed. It returns how long to wait
// before the next reading while a writer seems to be at work.
func (w *watch) handleChange(c filewatch.Change) time.Duration {
	if c.Polled && w.isUnchanged() {
		return 0
	}
	if c.Polled {
		return settleTime
	}
	w.cut = w.cut && c.Again
	r, err := readPath(w.path)
	if err == nil {
		if d := w.waitForWriter(r, c); d > 0 {
			return d
		}
	}
	w.info, w.cut = r.info, false
	if w.reading.Set(err) {
		w.failed(err)
	}
	if err != nil || w.known != nil && w.known.digest == r.set.digest {
		return 0
	}
	w.known = r.set
	w.changed(r.set, r.problems)
	return 0
}

func (w *watch) isUnchanged() bool {
	info, err := os.Stat(w.path)
	return err == nil && w.info != nil && isSameFileState(info, w.info)
}

// waitForWriter returns how long to wait for a better reading; 0 to use this one.
func (w *watch) waitForWriter(r reading, c filewatch.Change) time.Duration {
	isNew := w.known == nil || w.known.digest != r.set.digest
	switch {
	case r.torn: // never good enough, however late
		return settleTime
	case isNew && !c.Late && !w.cut && r.set.cut:
		w.cut = true
		return cutSettleTime
	}
	return 0
}
