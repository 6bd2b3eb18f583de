package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// How much is asked at once follows how remoted takes it: half as much after
// each request that it did not take, and slowly more with each that it did.

// leastWindow is what is tried even of a slow remoted.
const leastWindow = 4

// judge takes the outcome of a request into account.
func (a *asker) judge(what remoted.Outcome, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tally[what]++
	switch what {
	case remoted.Busy:
		a.shrink()
	case remoted.Invalid:
		const most = 20
		if text := err.Error(); !a.said[text] && len(a.said) < most {
			a.said[text] = true
			a.log.Warn("a request to an agent came to nothing", "problem", text)
		}
	case remoted.Absent:
	default:
		a.window = min(a.window+1, a.most)
	}
}

// shrink halves the window.
func (a *asker) shrink() { a.window = max(a.window/2, min(leastWindow, a.most)) }

// slow takes it that remoted was slow to answer for itself.
func (a *asker) slow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shrink()
}

// limit sets how many requests may be out at once, and how long remoted keeps
// a thread for one.
func (a *asker) limit(most int, responseTimeout time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if most != a.most {
		a.most, a.window = most, most
	}
	// Hanging up sooner would free no thread of remoted's, only the count of them here.
	a.patience = responseTimeout + responseMargin
}

// responseMargin is how much later than its timeout remoted may say so.
const responseMargin = 3 * time.Second

// halt stops asking, or goes on. Keep-alives wait, and the detector knows; what
// was only to be checked is dropped, as remoted's end is the cause of that.
func (a *asker) halt(stop bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if stop && !a.halted {
		for _, q := range []*queue{&a.urgent, &a.routine} {
			for n := q.len(); n > 0; n-- {
				id := q.pop()
				if s := a.of(id); s.wanted {
					q.push(id)
				} else {
					s.queued = false
				}
			}
		}
	}
	a.halted = stop
	a.ring()
}
