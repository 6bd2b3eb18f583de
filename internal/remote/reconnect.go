package remote

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run keeps a session until ctx ends, which ends it too.
func (r *Remote) run(ctx context.Context) {
	for ctx.Err() == nil {
		r.tried, _ = r.fileState()
		s, err := dial(ctx, &r.cfg, r.servers, r)
		if err != nil {
			r.failed(ctx, err, false)
		} else {
			r.connected()
			s = r.serve(ctx, s)
			if s.endedInOrder() {
				continue
			}
			r.failed(ctx, s.why(), s.worked)
		}
		r.pause(ctx)
	}
}

// serve offers s to its users, or what takes its place, until that has ended.
func (r *Remote) serve(ctx context.Context, s *Session) *Session {
	if !r.admit(ctx, s) {
		<-s.ended // by then of ctx, too
		return s
	}
	r.offer(s)
	defer r.offer(nil)
	for {
		select {
		case <-s.ended:
			return s
		case <-ctx.Done():
			s.End(ctx.Err())
			return s
		case <-r.touched:
			s = r.renew(ctx, s)
		}
	}
}

func (r *Remote) offer(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.note(r.state())
	r.current = s
	close(r.changed)
	r.changed = make(chan struct{})
}

// errReplaced is why a session with the old files ends.
var errReplaced = errors.New("the files of the login have changed: another session has taken over")

// renew returns a session with what the files hold now, or the old one if that
// is the same, or does not work, which it says once.
func (r *Remote) renew(ctx context.Context, old *Session) *Session {
	state, sum := r.fileState()
	if sum == old.dialed.sum {
		r.tried = state
		return old
	}
	if state == r.tried {
		return old
	}
	r.tried = state
	s, err := dial(ctx, &r.cfg, r.servers, r)
	if err == nil && !r.admit(ctx, s) {
		<-s.ended
		err = s.reason
	}
	if ctx.Err() != nil {
		if err == nil {
			s.End(ctx.Err())
		}
		return old
	}
	if err != nil {
		r.count(err)
		r.cfg.Tell(NotRenewed, err)
		r.log.Warn("the files of the NATS login have changed and do not work: the old connection stays", "problem", problems(err), "err", err)
		return old
	}
	r.mu.Lock()
	clear(r.denied)
	r.mu.Unlock()
	r.offer(s)
	r.running.Go(func() { r.retire(ctx, old) })
	r.cfg.Tell(Renewed, nil)
	r.log.Info("connected to the NATS server anew, with the changed files")
	return s
}

// fileState tells one state of the files from another, readable or not.
func (r *Remote) fileState() (string, fileSum) {
	_, sum, err := readFiles(&r.cfg)
	return fmt.Sprintf("%x %v", sum, err), sum
}

// retire lets the users of a replaced session finish what they are at.
func (r *Remote) retire(ctx context.Context, old *Session) {
	select {
	case <-time.After(r.cfg.Timeout):
	case <-old.ended:
	case <-ctx.Done():
	}
	old.End(errReplaced)
}

// count adds to the errors and the refused logins.
func (r *Remote) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors++
	r.refused += uint64(refusals(err))
}

// failed counts, and says each trouble once until all is well, and when it is
// the last before the remote is called unavailable.
func (r *Remote) failed(ctx context.Context, err error, doubted bool) {
	if ctx.Err() != nil {
		return
	}
	r.count(err)
	r.cfg.Tell(Failed, err)
	r.mu.Lock()
	before := r.state()
	r.failures++
	r.doubted, r.problem = doubted, problems(err)
	n := r.failures
	r.note(before)
	r.mu.Unlock()
	if n == 1 {
		clear(r.told)
	}
	if what := kind(err); !r.told[what] {
		r.told[what] = true
		message := "cannot reach the NATS server: keeping messages and trying on"
		if refusals(err) > 0 {
			message = "the NATS server refuses our login: keeping messages and trying on"
		}
		r.log.Warn(message, "every", r.cfg.ReconnectDelay, "problem", problems(err), "err", err)
	}
	if n == max(r.cfg.MaxReconnects, 1) {
		r.cfg.Tell(Unavailable, err)
		r.log.Error("the NATS server is unavailable: still keeping messages and trying on", "failures", n, "problem", problems(err), "err", err)
	}
}

// passedOver tells of servers that failed while another one of the list works.
func (r *Remote) passedOver(failures unreached, s *Session) {
	delete(r.passed, s.dialed.endpoint.String())
	for _, f := range failures {
		if f == nil {
			continue
		}
		r.count(f)
		r.cfg.Tell(Failed, f)
		if r.passed[f.Server] != f.Problem {
			r.passed[f.Server] = f.Problem
			r.log.Warn("a NATS server cannot be used, another one can", "problem", f.Problem, "err", f)
		}
	}
}

// connected takes the remote for healthy again, unless it was there all the
// time and did not do what it should: then only doing it can tell.
func (r *Remote) connected() {
	r.mu.Lock()
	before, doubted, n := r.state(), r.doubted, r.failures
	if !doubted {
		r.failures, r.problem = 0, ""
	}
	r.note(before)
	r.mu.Unlock()
	r.cfg.Tell(Connected, nil)
	if !doubted {
		r.log.Info("connected to the NATS server", r.back(before, n)...)
	}
}

// back is what the log says of the time before all was well, and lets be told that
// it ended, if the server had been called unavailable.
func (r *Remote) back(before State, failures int) []any {
	attrs := []any{"failures", failures}
	if before.Unavailable {
		r.cfg.Tell(Available, nil)
		attrs = append(attrs, "was_unavailable_for", time.Since(before.Since).Round(time.Millisecond).String())
	}
	return attrs
}

func (r *Remote) recovered() {
	r.mu.Lock()
	before, n := r.state(), r.failures
	r.failures, r.doubted = 0, false
	r.note(before)
	r.mu.Unlock()
	if n > 0 {
		r.cfg.Tell(Works, nil)
		r.log.Info("the NATS server takes messages again", r.back(before, n)...)
	}
}

// pause waits before the next try, which other files may make a better one at once.
func (r *Remote) pause(ctx context.Context) {
	enough := time.After(r.cfg.ReconnectDelay)
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-r.touched:
			if state, _ := r.fileState(); state != r.tried {
				return
			}
		}
	}
}
