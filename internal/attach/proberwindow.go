package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// How much is asked at once follows how remoted takes it: half as much after
// each request that it did not take, and slowly more with each that it did.

// minWindow is what is tried even of a slow remoted.
const minWindow = 4

// countOutcome takes the outcome of a request into account.
func (a *prober) countOutcome(what remoted.Outcome, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outcomes[what]++
	switch what {
	case remoted.Busy:
		a.shrinkWindow()
	case remoted.Invalid:
		const most = 20
		if text := err.Error(); !a.loggedErrors[text] && len(a.loggedErrors) < most {
			a.loggedErrors[text] = true
			a.log.Warn("a request to an agent came to nothing", "err", text)
		}
	case remoted.Absent:
	default:
		a.window = min(a.window+1, a.maxInFlight)
	}
}

// shrinkWindow halves the window.
func (a *prober) shrinkWindow() { a.window = max(a.window/2, min(minWindow, a.maxInFlight)) }

// handleSlowRemoted takes it that remoted was slow to answer for itself.
func (a *prober) handleSlowRemoted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shrinkWindow()
}

// setLimits sets how many requests may be out at once, and how long remoted keeps
// a thread for one.
func (a *prober) setLimits(most int, responseTimeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if most != a.maxInFlight {
		a.maxInFlight, a.window = most, most
	}
	// Hanging up sooner would free no thread of remoted's, only the count of them here.
	a.timeout = responseTimeout + responseMargin
}

// responseMargin is how much later than its timeout remoted may say so.
const responseMargin = 3 * time.Second

// setHalted stops asking, or goes on. Keep-alives wait, and the detector knows; what
// was only to be checked is dropped, as remoted's end is the cause of that.
func (a *prober) setHalted(stop bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if stop && !a.halted {
		for _, q := range []*agentQueue{&a.urgent, &a.routine} {
			for n := q.len(); n > 0; n-- {
				id := q.pop()
				if s := a.probeOf(id); s.wanted {
					q.push(id)
				} else {
					s.queued = false
				}
			}
		}
	}
	a.halted = stop
	a.wakeProber()
}
