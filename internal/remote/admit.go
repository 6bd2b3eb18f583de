package remote

import (
	"context"
	"errors"
)

// ErrWithdrawn is the reason with which whoever admits sessions (see Config.Admit)
// ends one that its users shall leave at once. It is no failure of the server: the
// next session is dialed without a pause, and has to be admitted like any other.
var ErrWithdrawn = errors.New("the session was withdrawn")

// admit waits until the users of the remote may have the session. It reports false
// when the session has ended instead.
func (r *Remote) admit(ctx context.Context, s *Session) bool {
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
		case <-r.touched:
			if _, sum := r.fileState(); sum != s.dialed.sum {
				s.End(ErrWithdrawn) // the next session logs in with the changed files
			}
		}
	}
}

// endedInOrder reports whether a session ended for a reason that is no failure.
func (s *Session) endedInOrder() bool { return errors.Is(s.reason, ErrWithdrawn) }
