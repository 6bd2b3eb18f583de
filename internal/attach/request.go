package attach

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// request is one to an agent.
type request struct {
	id       detector.AgentID
	token    uint32
	patience time.Duration
	place    *place
}

// ask sends one request, and reports what becomes of it.
func (a *asker) ask(ctx context.Context, r request) {
	began := time.Now()
	what, err := a.send(ctx, r.id, r.patience, func() { a.sent(r) })
	if ctx.Err() != nil {
		return
	}
	a.judge(what, err)
	switch now := a.clock.Now(); what {
	case remoted.Answered:
		if !a.answered(r.id, began) { // it is from before the agent was given up
			defer a.check(r.id)
			break
		}
		a.fleet.Report(detector.Sighting{At: now, ID: r.id, Token: r.token, Kind: detector.SawAnswer})
	case remoted.NotConnected:
		a.notice() // a new remoted has no connections yet
		a.mark(r.id, began)
		if a.isNews(r.id) {
			a.fleet.Report(detector.Sighting{At: now, ID: r.id, Kind: detector.SawClosed})
		}
	case remoted.Absent:
		a.gone()
	}
	a.done(ctx, r, what)
}

// sent takes it that a request has gone out. The time for its answer, and the round trip,
// begin now: before, it may have waited for its turn, behind an older one, or for remoted.
func (a *asker) sent(r request) {
	a.fleet.Report(detector.Sighting{At: a.clock.Now(), ID: r.id, Token: r.token, Kind: detector.Unsent})
}

// isNews reports whether it is news that an agent's connection has ended: its
// grace began when that was found, and not when it was found again.
func (a *asker) isNews(id detector.AgentID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(id)
	news := s.closed == 0 || time.Since(s.ended) > a.grace+time.Second
	if news {
		s.ended = time.Now()
	}
	return news
}

// done frees the request's place, and asks on where there is reason to.
func (a *asker) done(ctx context.Context, r request, what remoted.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.ring()
	s := a.of(r.id)
	s.out--
	a.out--
	a.places.free(r.place)
	again := s.again && (what != remoted.NotConnected || s.token != r.token)
	switch what {
	case remoted.Answered:
		s.sign, s.closed, s.unproven = time.Now(), 0, false
		again = s.again && s.token != r.token || s.wanted
	case remoted.NotConnected:
		a.askAgain(ctx, r.id, s)
	case remoted.Absent, remoted.Busy:
		again = true // it was not asked
		s.wanted = true
	case remoted.UnknownAgent:
		s.wanted = true // nor was this one; it is when it has shown a sign of life
	}
	if again {
		a.enqueue(r.id, s, false)
	}
}

// askAgain looks once more, soon, at an agent whose connection ended: live ones
// come back at once. While many wait, the database tells.
func (a *asker) askAgain(ctx context.Context, id detector.AgentID, s *asked) {
	const first, margin, crowd = 300 * time.Millisecond, 200 * time.Millisecond, 1000
	left := a.grace - margin - time.Since(s.ended) // the last time is in time to count
	wait := min(first<<min(s.closed, 16), left)
	if s.closed++; left <= 0 || a.urgent.len()+a.routine.len() > crowd {
		return
	}
	a.work.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lookFor(id, a.of(id))
		case <-ctx.Done():
		}
	})
}
