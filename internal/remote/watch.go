package remote

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the files must be left alone before they are used: a
	// certificate and its key are seldom replaced in one step.
	settle = 300 * time.Millisecond

	// settleMost bounds that wait in a directory that never rests.
	settleMost = 3 * time.Second

	// pollPeriod is how often the files are looked at besides, for what inotify
	// does not tell: a change behind a symbolic link or on a network file system.
	pollPeriod = 10 * time.Second
)

// watch touches r when the files may have changed. It watches their directories:
// files are replaced, and in a container a link beside them is.
func (r *Remote) watch(ctx context.Context, files []file) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
		r.follow(ctx, nil, nil, func() {})
		return
	}
	defer func() { _ = notify.Close() }() // nothing is left to do about it
	failed := map[string]bool{}
	r.follow(ctx, notify.Events, notify.Errors, func() {
		for _, f := range files {
			dir := filepath.Dir(f.path)
			if err := notify.Add(dir); err != nil && !failed[dir] {
				failed[dir] = true
				r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
			}
		}
	})
}

// follow waits for changes to settle. To observe again is harmless, and needed
// once a directory was replaced.
func (r *Remote) follow(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, observe func()) {
	quiet := time.NewTimer(0) // whatever happened before there was a watch
	defer quiet.Stop()
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	var since time.Time
	wait := func() {
		now := time.Now()
		if since.IsZero() {
			since = now
		}
		quiet.Reset(min(settle, settleMost-now.Sub(since)))
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
			r.touch()
		case <-poll.C:
			observe()
			r.touch()
		}
	}
}

func (r *Remote) touch() {
	select {
	case r.touched <- struct{}{}:
	default: // it is to be looked at already
	}
}
