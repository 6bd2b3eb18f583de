package remote

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long the files must not change before they are used: a
	// certificate and its key are seldom replaced in one step.
	settleTime = 300 * time.Millisecond

	// maxSettleTime bounds that wait in a directory that changes all the time.
	maxSettleTime = 3 * time.Second

	// pollPeriod is how often the files are checked besides, for changes that
	// inotify does not report: behind a symbolic link or on a network file
	// system.
	pollPeriod = 10 * time.Second
)

// watchFiles requests a reload when the files may have changed. It watches
// their directories: files are replaced, and in a container a link beside them
// is.
func (r *Remote) watchFiles(ctx context.Context, files []file) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
		r.followChanges(ctx, nil, nil, func() {})
		return
	}
	defer func() { _ = notify.Close() }() // there is nothing to do about it
	failed := map[string]bool{}
	r.followChanges(ctx, notify.Events, notify.Errors, func() {
		for _, f := range files {
			dir := filepath.Dir(f.path)
			if err := notify.Add(dir); err != nil && !failed[dir] {
				failed[dir] = true
				r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
			}
		}
	})
}

// followChanges waits until changes have settled. Calling observe again is
// harmless, and needed after a directory was replaced.
func (r *Remote) followChanges(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, observe func()) {
	quiet := time.NewTimer(0) // for changes before the watch
	defer quiet.Stop()
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	var since time.Time
	wait := func() {
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		quiet.Reset(min(settleTime, maxSettleTime-now.Sub(since)))
	}
	observe()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			wait()
		case <-errs: // events were lost
			wait()
		case <-quiet.C:
			since = time.Time{}
			r.requestReload()
		case <-poll.C:
			observe()
			r.requestReload()
		}
	}
}

func (r *Remote) requestReload() {
	select {
	case r.reload <- struct{}{}:
	default: // a reload is requested already
	}
}
