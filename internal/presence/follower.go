package presence

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/remote"
)

// AdmitFollower waits until the node may publish on a session of another connection than
// that of Admit: it may while it is admitted there. It is for remote.Config, as Admit is, and
// from then on the session ends with [remote.ErrWithdrawn] as soon as another node precedes
// this one. It publishes nothing itself.
func (w *Watcher) AdmitFollower(ctx context.Context, s *remote.Session) error {
	for {
		w.mu.Lock()
		switch {
		case w.closed:
			w.mu.Unlock()
			return context.Canceled
		case w.sessions > 0 || w.unknown != nil:
			w.running.Go(func() { w.followSession(s) })
			w.mu.Unlock()
			return nil
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-w.closing:
		case <-s.Ended():
			return s.Reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followSession withdraws an admitted session when another node precedes this one.
func (w *Watcher) followSession(s *remote.Session) {
	for {
		w.mu.Lock()
		held, changed := w.held, w.changed
		w.mu.Unlock()
		if held {
			s.End(remote.ErrWithdrawn)
			return
		}
		select {
		case <-changed:
		case <-w.closing:
			return
		case <-s.Ended():
			return
		}
	}
}

// signalChange wakes those who wait for a change. The caller holds w.mu.
func (w *Watcher) signalChange() {
	close(w.changed)
	w.changed = make(chan struct{})
}
