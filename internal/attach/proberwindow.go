package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// The window is how many requests may be in flight. It is halved after each that remoted
// did not take, and grows by one with each that it did.

const (
	// minWindow is the least, however slow remoted is.
	minWindow = 4
	// responseMargin is how much later than its timeout remoted may answer.
	responseMargin = 3 * time.Second
)

// countRequestOutcome counts what became of a request, and changes the window accordingly.
func (p *prober) countRequestOutcome(what remoted.Outcome, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes[what]++
	switch what {
	case remoted.Busy:
		p.shrinkWindow()
	case remoted.Invalid:
		if text := err.Error(); p.loggedErrors.Allow(text) {
			p.log.Warn("a request to an agent came to nothing", "err", text)
		}
	case remoted.Absent:
	default:
		p.window = min(p.window+1, p.maxInFlight)
	}
}

func (p *prober) shrinkWindow() { p.window = max(p.window/2, min(minWindow, p.maxInFlight)) }

// handleSlowRemoted halves the window: remoted was slow to answer for itself.
func (p *prober) handleSlowRemoted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shrinkWindow()
}

// setRequestLimits sets how many requests may be in flight, and how long remoted keeps a thread
// for one.
func (p *prober) setRequestLimits(most int, responseTimeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if most != p.maxInFlight {
		p.maxInFlight, p.window = most, most
	}
	// Hanging up sooner would free no thread of remoted's, only the count of them here.
	p.timeout = responseTimeout + responseMargin
}

// setSendingHalted stops sending, or resumes it. Keep-alives wait meanwhile; all else in the
// queues is dropped, as it was queued because remoted ended.
func (p *prober) setSendingHalted(stop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stop && !p.halted {
		for _, q := range []*agentQueue{&p.urgent, &p.routine} {
			for n := q.len(); n > 0; n-- {
				id := q.popAgent()
				if s := p.probeStateOf(id); s.wanted {
					q.pushAgent(id)
				} else {
					s.queued = false
				}
			}
		}
	}
	p.halted = stop
	p.wake.Send()
}

// awaitAgentReturns handles that remoted was restarted at a time. It has no connections then:
// a request to an agent that is not back yet comes to nothing, and remoted logs an error
// for each. So agents are probed again when they have shown a sign of life, or when
// their time to come back is over; their keep-alives wait until then.
func (p *prober) awaitAgentReturns(at time.Time, grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const rounding = 10 * time.Millisecond // of two clocks that are read one after the other
	p.restartedAt, p.awaitUntil = wallClock(nil).monotonicTime(at.Truncate(time.Second)).Add(-rounding), time.Now().Add(grace)
}

// isReturnAwaited reports whether an agent has not come back to a new remoted yet, and
// still has time to.
func (p *prober) isReturnAwaited(s *probeState) bool {
	return !p.awaitUntil.IsZero() && !s.unproven && s.lastSign.Before(p.restartedAt)
}

// queueHeldKeepAlives queues the keep-alives of agents that did not come back in their time.
func (p *prober) queueHeldKeepAlives() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.awaitUntil.IsZero() || time.Now().Before(p.awaitUntil) {
		return
	}
	p.awaitUntil = time.Time{}
	for id, s := range p.probes {
		if s.wanted {
			p.enqueueProbe(id, s, false)
		}
	}
}
