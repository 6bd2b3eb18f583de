package clientkeys

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the file must be left alone before it is read, so that
	// no half-written file is taken for the whole.
	settle = 100 * time.Millisecond

	// settleCut is the same for a file that is empty or ends within a line. It may
	// be meant so, but more likely a writer has paused there.
	settleCut = time.Second

	// settleMost bounds the wait for a file that is replaced again and again, as
	// when agents are enrolled by the hundred.
	settleMost = 5 * time.Second

	// pollPeriod is how often the file is looked at besides. It finds what
	// inotify cannot tell: a change on a network file system, behind a symbolic
	// link, or after the watch itself failed.
	pollPeriod = 10 * time.Second
)

// Watch follows the file until ctx ends. It calls changed with every new
// content, known being the content that the caller has from [ReadFile]; with
// known nil, or the file changed since, that is also the first it reads. Files
// that are empty, after a second of quiet, are a content like any other; whether
// to act on one is the caller's affair.
//
// While the file cannot be read, the last content stands. Failed is called once
// for each condition that keeps Watch from its work, not for each try: with a
// [*ReadError] for the file itself, and with nil when that can be read again. Both are called from Watch's own goroutine, one at a time.
func Watch(ctx context.Context, path string, known *Set, changed func(*Set, []Problem), failed func(error)) {
	w := &watch{path: path, known: known, changed: changed, failed: failed}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		failed(fmt.Errorf("watch client keys: look every %v instead: %w", pollPeriod, err))
		w.run(ctx, nil, nil)
		return
	}
	defer func() { _ = notify.Close() }() // nothing is left to do about it
	w.observe = func() error { return notify.Add(filepath.Dir(path)) }
	w.run(ctx, notify.Events, notify.Errors)
}

// watch is the state of one Watch, owned by its goroutine.
type watch struct {
	path    string
	known   *Set
	changed func(*Set, []Problem)
	failed  func(error)
	observe func() error // (again) asks for events; nil without inotify

	quiet *time.Timer // fires when the file has settled
	since time.Time   // of the first change not yet read; zero when there is none
	info  fs.FileInfo // of the file last read; nil when that failed
	cut   bool        // the file ended within a line when last read, and was not taken

	observing, reading condition
}

func (w *watch) run(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	w.quiet = time.NewTimer(settle)
	defer w.quiet.Stop()
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()

	w.watchDirectory()
	w.touched() // whatever happened before there was a watch
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if filepath.Base(e.Name) == filepath.Base(w.path) {
				w.touched()
			}
		case <-errs: // events were lost
			w.touched()
		case <-w.quiet.C:
			w.read()
		case <-poll.C:
			w.watchDirectory()
			w.look()
		}
	}
}

// watchDirectory watches the directory, not the file: editors and Wazuh replace
// the file. Asking again is harmless, and needed once a directory was replaced.
func (w *watch) watchDirectory() {
	if w.observe == nil {
		return
	}
	err := w.observe()
	if err != nil {
		err = fmt.Errorf("watch client keys: %w", err)
	}
	w.observing.report(err, w.failed)
}

// touched waits for the file to settle.
func (w *watch) touched() {
	w.cut = false
	w.wait(settle)
}

func (w *watch) wait(d time.Duration) {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	w.quiet.Reset(min(d, settleMost-now.Sub(w.since)))
}

// look finds a change that no event told of.
func (w *watch) look() {
	if !w.since.IsZero() {
		return // known already
	}
	info, err := os.Stat(w.path)
	if err != nil || w.info == nil || !sameState(info, w.info) {
		w.touched()
	}
}

// read takes the file's content, unless a writer seems to be at work.
func (w *watch) read() {
	r, err := read(w.path)
	if err == nil && w.caughtWriting(r) {
		return
	}
	w.since, w.info, w.cut = time.Time{}, r.info, false
	if err == nil && w.reading.last != "" {
		w.failed(nil)
	}
	w.reading.report(err, w.failed)
	if err != nil || w.known != nil && w.known.digest == r.set.digest {
		return
	}
	w.known = r.set
	w.changed(r.set, r.problems)
}

// caughtWriting says whether to wait for a better reading, and waits.
func (w *watch) caughtWriting(r reading) bool {
	isNew := w.known == nil || w.known.digest != r.set.digest
	late := time.Since(w.since) >= settleMost
	switch {
	case r.torn: // never good enough, however late
		w.since = time.Time{}
		w.touched()
	case isNew && !late && !w.cut && r.set.cut:
		w.cut = true
		w.wait(settleCut)
	default:
		return false
	}
	return true
}

// condition is something that fails or not, and is reported when that changes.
type condition struct{ last string }

func (c *condition) report(err error, failed func(error)) {
	if err == nil {
		c.last = ""
		return
	}
	if text := err.Error(); text != c.last {
		c.last = text
		failed(err)
	}
}
