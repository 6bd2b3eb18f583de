package remote

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// keepConnected keeps a session until ctx ends, and then ends it.
func (r *Remote) keepConnected(ctx context.Context) {
	for ctx.Err() == nil {
		r.triedFiles, _ = r.describeCredentialFiles()
		s, err := dialServers(ctx, &r.cfg, r.servers, r)
		if err != nil {
			r.handleFailure(ctx, err, false)
		} else {
			r.handleConnected()
			s = r.serveSession(ctx, s)
			if s.endedInOrder() {
				continue
			}
			r.handleFailure(ctx, s.endReason(), s.connWorked)
		}
		r.waitToRetry(ctx)
	}
}

// serveSession makes s the current session until it ends, or the session that
// replaces it.
func (r *Remote) serveSession(ctx context.Context, s *Session) *Session {
	if !r.admitSession(ctx, s) {
		<-s.ended // it ends with ctx, too
		return s
	}
	r.setCurrentSession(s)
	defer r.setCurrentSession(nil)
	for {
		select {
		case <-s.ended:
			return s
		case <-ctx.Done():
			s.End(ctx.Err())
			return s
		case <-r.reload:
			s = r.replaceSession(ctx, s)
		}
	}
}

func (r *Remote) setCurrentSession(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.updateSince(r.currentState())
	r.current = s
	if s != nil {
		r.expiries = s.Expiries()
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// errReplaced is the reason for the end of a session with the old files.
var errReplaced = errors.New("the files of the login have changed: another session has taken over")

// replaceSession returns a session with the present files, or the old one if
// they are the same or do not work, which it logs once.
func (r *Remote) replaceSession(ctx context.Context, old *Session) *Session {
	state, sum := r.describeCredentialFiles()
	if sum == old.attempt.sum {
		r.triedFiles = state
		return old
	}
	if state == r.triedFiles {
		return old
	}
	r.triedFiles = state
	s, err := dialServers(ctx, &r.cfg, r.servers, r)
	if err == nil && !r.admitSession(ctx, s) {
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
		r.countFailure(err)
		r.cfg.Tell(NotRenewed, err)
		r.log.Warn("the files of the NATS login have changed and do not work: the old connection stays", "problem", joinFailureProblems(err), "err", err)
		return old
	}
	r.mu.Lock()
	r.loggedSubjects.Reset()
	r.mu.Unlock()
	r.setCurrentSession(s)
	r.running.Go(func() { r.retireSession(ctx, old) })
	r.cfg.Tell(Renewed, nil)
	r.log.Info("connected to the NATS server anew, with the changed files")
	return s
}

// describeCredentialFiles returns a text that identifies the state of the files, readable or
// not.
func (r *Remote) describeCredentialFiles() (string, fileSum) {
	_, sum, err := readCredentialFiles(&r.cfg)
	return fmt.Sprintf("%x %v", sum, err), sum
}

// retireSession ends a replaced session, after some time for its users to
// finish.
func (r *Remote) retireSession(ctx context.Context, old *Session) {
	select {
	case <-time.After(r.cfg.Timeout):
	case <-old.ended:
	case <-ctx.Done():
	}
	old.End(errReplaced)
}

// countFailure counts a failure and its refused logins.
func (r *Remote) countFailure(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors++
	r.refused += uint64(countRefusedLogins(err))
}

// handleFailure counts a failure. It logs each kind once until the server
// works again, and the one with which the remote becomes unavailable.
func (r *Remote) handleFailure(ctx context.Context, err error, doubted bool) {
	if ctx.Err() != nil {
		return
	}
	r.countFailure(err)
	r.cfg.Tell(Failed, err)
	r.mu.Lock()
	before := r.currentState()
	r.failures++
	r.unconfirmed, r.problem = doubted, joinFailureProblems(err)
	n := r.failures
	r.updateSince(before)
	r.mu.Unlock()
	if n == 1 {
		r.loggedFailures.Reset()
	}
	if r.loggedFailures.Allow(failureKey(err)) {
		message := "cannot reach the NATS server: keeping messages and trying on"
		if countRefusedLogins(err) > 0 {
			message = "the NATS server refuses our login: keeping messages and trying on"
		}
		r.log.Warn(message, "every", r.cfg.ReconnectDelay, "problem", joinFailureProblems(err), "err", err)
	}
	if n == max(r.cfg.MaxReconnects, 1) {
		r.cfg.Tell(Unavailable, err)
		r.log.Error("the NATS server is unavailable: still keeping messages and trying on", "failures", n, "problem", joinFailureProblems(err), "err", err)
	}
}

// reportFailover counts and logs the servers that failed while another one of
// the list works.
func (r *Remote) reportFailover(failures serverFailures, s *Session) {
	delete(r.loggedFailovers, s.attempt.endpoint.String())
	for _, f := range failures {
		if f == nil {
			continue
		}
		r.countFailure(f)
		r.cfg.Tell(Failed, f)
		if r.loggedFailovers[f.Server] != f.Problem {
			r.loggedFailovers[f.Server] = f.Problem
			r.log.Warn("a NATS server cannot be used, another one can", "problem", f.Problem, "err", f)
		}
	}
}

// handleConnected marks the remote as healthy, unless the last session failed
// on a working connection: then [Session.Good] does.
func (r *Remote) handleConnected() {
	r.mu.Lock()
	before, doubted, n := r.currentState(), r.unconfirmed, r.failures
	if !doubted {
		r.failures, r.problem = 0, ""
	}
	r.updateSince(before)
	r.mu.Unlock()
	r.cfg.Tell(Connected, nil)
	if !doubted {
		r.log.Info("connected to the NATS server", r.recoveryAttrs(before, n)...)
	}
}

// recoveryAttrs returns the log's attributes of the time before the recovery,
// and reports that the server is available again if it had been unavailable.
func (r *Remote) recoveryAttrs(before State, failures int) []any {
	attrs := []any{"failures", failures}
	if before.Unavailable {
		r.cfg.Tell(Available, nil)
		attrs = append(attrs, "was_unavailable_for", time.Since(before.Since).Round(time.Millisecond).String())
	}
	return attrs
}

func (r *Remote) handleRecovered() {
	r.mu.Lock()
	before, n := r.currentState(), r.failures
	r.failures, r.unconfirmed = 0, false
	r.updateSince(before)
	r.mu.Unlock()
	if n > 0 {
		r.cfg.Tell(Works, nil)
		r.log.Info("the NATS server takes messages again", r.recoveryAttrs(before, n)...)
	}
}

// waitToRetry waits before the next dial, or less if the files change.
func (r *Remote) waitToRetry(ctx context.Context) {
	enough := time.After(r.cfg.ReconnectDelay)
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-r.reload:
			if state, _ := r.describeCredentialFiles(); state != r.triedFiles {
				return
			}
		}
	}
}
