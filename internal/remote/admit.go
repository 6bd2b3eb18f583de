package remote

import (
	"context"
	"errors"
)

// ErrWithdrawn is the reason with which Config.Admit ends a session that its
// users must leave at once. It is no failure of the server: the next session
// is dialed without a pause, and has to be admitted like any other.
var ErrWithdrawn = errors.New("the session was withdrawn")

// admitSession waits until the session may be used. It returns false when the
// session has ended instead.
func (r *Remote) admitSession(ctx context.Context, s *Session) bool {
	if r.cfg.Admit == nil {
		return true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admitted := make(chan error, 1)
	r.running.Go(func() { admitted <- r.cfg.Admit(ctx, s) })
	for {
		select {
		case err := <-admitted:
			if err != nil {
				s.End(err)
			}
			return err == nil && s.Reason() == nil
		case <-s.ended:
			return false
		case <-r.reload:
			if _, sum := r.fileState(); sum != s.attempt.sum {
				s.End(ErrWithdrawn) // the next session logs in with the changed files
			}
		}
	}
}

// endedInOrder reports whether a session ended for a reason that is no failure.
func (s *Session) endedInOrder() bool { return errors.Is(s.reason, ErrWithdrawn) }
