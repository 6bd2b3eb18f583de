package attach

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// request is one to an agent.
type request struct {
	id      detector.AgentID
	token   uint32
	timeout time.Duration
	slot    *slot
}

// performRequest sends one request, and the tracker what becomes of it.
func (a *prober) performRequest(ctx context.Context, r request) {
	began := time.Now()
	what, err := a.client.RequestState(ctx, r.id, r.timeout, func() { a.reportSent(r) })
	if ctx.Err() == nil {
		a.events.send(ctx, requestEnded{request: r, outcome: what, err: err, sent: began, at: a.clock.Now()})
	}
}

// reportSent takes it that a request has gone out. The time for its answer, and the round trip,
// begin now: before, it may have waited for its turn, behind an older one, or for remoted.
func (a *prober) reportSent(r request) {
	a.fleet.Report(detector.Sighting{At: a.clock.Now(), ID: r.id, Token: r.token, Kind: detector.Unsent})
}

// isFirstClosed reports whether it is news that an agent's connection has ended: its
// grace began when that was found, and not when it was found again.
func (a *prober) isFirstClosed(id detector.AgentID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.probeOf(id)
	news := s.closed == 0 || time.Since(s.closedAt) > a.grace+time.Second
	if news {
		s.closedAt = time.Now()
	}
	return news
}

// finishRequest frees the request's place, and asks on where there is reason to.
func (a *prober) finishRequest(r request, what remoted.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.wakeProber()
	s := a.probeOf(r.id)
	s.inFlight--
	a.inFlight--
	a.slots.freeSlot(r.slot)
	again := s.again && (what != remoted.NotConnected || s.token != r.token)
	switch what {
	case remoted.Answered:
		s.lastSign, s.closed, s.unproven = time.Now(), 0, false
		again = s.again && s.token != r.token || s.wanted
	case remoted.NotConnected:
		a.scheduleReprobe(r.id, s)
	case remoted.Absent, remoted.Busy:
		again = true // it was not asked
		s.wanted = true
	case remoted.UnknownAgent:
		s.wanted = true // nor was this one; it is when it has shown a sign of life
	}
	if again {
		a.enqueueProbe(r.id, s, false)
	}
}

// scheduleReprobe looks once more, soon, at an agent whose connection ended: live ones
// come back at once. While many wait, the database tells.
func (a *prober) scheduleReprobe(id detector.AgentID, s *probeState) {
	const first, margin, crowd = 300 * time.Millisecond, 200 * time.Millisecond, 1000
	left := a.grace - margin - time.Since(s.closedAt) // the last time is in time to count
	wait := min(first<<min(s.closed, 16), left)
	if s.closed++; left <= 0 || a.urgent.len()+a.routine.len() > crowd {
		return
	}
	time.AfterFunc(wait, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.probeClosed(id, a.probeOf(id))
	})
}
