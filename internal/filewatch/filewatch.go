// Package filewatch reports when files may have changed: by the kernel's events, after
// the files were left alone for a moment, and by a look from time to time, for changes
// of which there are no events (behind a symbolic link, on a network file system).
//
// Watch and Follow run in their caller's goroutine and call its functions from there,
// one at a time. Watch starts goroutines of its own, which have ended when it returns.
package filewatch

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// Config is what is watched, and how.
type Config struct {
	// Paths are the files. Their directories are watched: files are replaced.
	Paths []string
	// Beside counts changes of other files in the directories too: in a container, a
	// link beside the file is replaced.
	Beside bool
	// Settle is how long the files must be left alone before a change is reported, so
	// that nothing half-written is read, and a certificate with the key of another.
	Settle time.Duration
	// SettleMax bounds that wait for files that change all the time.
	SettleMax time.Duration
	// Poll is the time between two looks without an event.
	Poll time.Duration
	// Failed is called with why there are no events of a directory, once until that is
	// something else or over. It may be nil.
	Failed func(error)
}

// Change is what a call reports.
type Change struct {
	Polled bool // there was no event: it is time for a look
	Again  bool // a wait that was asked for is over, without another event
	Late   bool // the files have not been left alone for SettleMax
}

// Source is where events come from.
type Source struct {
	Events <-chan fsnotify.Event
	Errors <-chan error           // events were lost
	Add    func(dir string) error // asks for the events of a directory; nil for a source without events
}

// Watch calls changed until ctx ends, for the first time soon after its start: whatever
// happened before counts as a change. What changed returns is how long it wants the
// files to be left alone once more before it is called again; 0 for no wish.
func Watch(ctx context.Context, cfg Config, changed func(Change) time.Duration) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		if cfg.Failed != nil {
			cfg.Failed(err)
		}
		Follow(ctx, Source{}, cfg, changed)
		return
	}
	defer func() { _ = notify.Close() }() // nothing is left to do about it
	Follow(ctx, Source{notify.Events, notify.Errors, notify.Add}, cfg, changed)
}

// Follow is [Watch] with the events of a source.
func Follow(ctx context.Context, source Source, cfg Config, changed func(Change) time.Duration) {
	w := &watch{cfg: cfg, source: source, changed: changed, failures: make(map[string]*logonce.Condition), quiet: time.NewTimer(cfg.Settle)}
	defer w.quiet.Stop()
	poll := time.NewTicker(cfg.Poll)
	defer poll.Stop()

	w.addDirectories()
	w.wait(cfg.Settle)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-source.Events:
			if w.isWatched(e.Name) {
				w.handleEvent()
			}
		case <-source.Errors:
			w.handleEvent()
		case <-w.quiet.C:
			w.report(Change{Again: w.again, Late: time.Since(w.since) >= cfg.SettleMax})
		case <-poll.C:
			w.addDirectories()
			if w.since.IsZero() {
				w.report(Change{Polled: true})
			}
		}
	}
}

// watch is the state of one Follow.
type watch struct {
	cfg     Config
	source  Source
	changed func(Change) time.Duration

	failures map[string]*logonce.Condition // by directory
	quiet    *time.Timer                   // fires when the files have settled
	since    time.Time                     // of the first change that is not reported yet; zero for none
	again    bool                          // the wait was asked for
}

// addDirectories asks for events. Asking again is harmless, and needed once a directory
// was replaced.
func (w *watch) addDirectories() {
	if w.source.Add == nil {
		return
	}
	for _, path := range w.cfg.Paths {
		dir := filepath.Dir(path)
		failure, known := w.failures[dir]
		if !known {
			failure = new(logonce.Condition)
			w.failures[dir] = failure
		}
		if err := w.source.Add(dir); failure.Set(err) && err != nil && w.cfg.Failed != nil {
			w.cfg.Failed(err)
		}
	}
}

func (w *watch) isWatched(name string) bool {
	return w.cfg.Beside || slices.ContainsFunc(w.cfg.Paths, func(path string) bool { return filepath.Base(path) == filepath.Base(name) })
}

func (w *watch) handleEvent() {
	w.again = false
	w.wait(w.cfg.Settle)
}

func (w *watch) wait(d time.Duration) {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	w.quiet.Reset(min(d, w.cfg.SettleMax-now.Sub(w.since)))
}

func (w *watch) report(c Change) {
	d := w.changed(c)
	if d == 0 || c.Late {
		w.since = time.Time{}
	}
	if w.again = d > 0; w.again {
		w.wait(d)
	}
}
