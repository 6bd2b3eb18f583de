package attach

import "time"

// A remoted that has just started has no connections: a request to an agent that
// is not back yet comes to nothing, and remoted logs an error for each. So agents are
// asked again when they have shown themselves, or when their time to come
// back is over; their keep-alives wait until then.

// restarted takes it that remoted has started anew.
func (a *asker) restarted(at time.Time, grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	const rounding = 10 * time.Millisecond // of two clocks that are read one after the other
	a.restart, a.returned = wallClock(nil).time(at.Truncate(time.Second)).Add(-rounding), time.Now().Add(grace)
}

// awaited reports whether an agent has not come back to a new remoted yet, and
// is still given time to.
func (a *asker) awaited(s *asked) bool {
	return !a.returned.IsZero() && !s.unproven && s.sign.Before(a.restart)
}

// release has those asked that did not come back in their time.
func (a *asker) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.returned.IsZero() || time.Now().Before(a.returned) {
		return
	}
	a.returned = time.Time{}
	for id, s := range a.asked {
		if s.wanted {
			a.enqueue(id, s, false)
		}
	}
}
