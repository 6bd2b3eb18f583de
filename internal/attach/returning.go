package attach

import "time"

// A remoted that has just started has no connections: a request to an agent that
// is not back yet comes to nothing, and remoted logs an error for each. So agents are
// asked again when they have shown themselves, or when their time to come
// back is over; their keep-alives wait until then.

// awaitReturns takes it that remoted has started anew.
func (a *prober) awaitReturns(at time.Time, grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	const rounding = 10 * time.Millisecond // of two clocks that are read one after the other
	a.restartedAt, a.awaitUntil = wallClock(nil).time(at.Truncate(time.Second)).Add(-rounding), time.Now().Add(grace)
}

// isAwaited reports whether an agent has not come back to a new remoted yet, and
// is still given time to.
func (a *prober) isAwaited(s *probeState) bool {
	return !a.awaitUntil.IsZero() && !s.unproven && s.lastSign.Before(a.restartedAt)
}

// releaseAwaited has those asked that did not come back in their time.
func (a *prober) releaseAwaited() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.awaitUntil.IsZero() || time.Now().Before(a.awaitUntil) {
		return
	}
	a.awaitUntil = time.Time{}
	for id, s := range a.probes {
		if s.wanted {
			a.enqueueProbe(id, s, false)
		}
	}
}
