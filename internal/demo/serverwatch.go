package demo

import (
	"fmt"
	"time"
)

const (
	checkInterval    = time.Second      // between two checks of the connection to the server
	reminderInterval = 10 * time.Second // between two lines about a server that stays unreachable
	// drainTime is how long the demo waits at its end for messages on their
	// way.
	drainTime = 10 * time.Second
)

// serverState is the state of the connection to the server.
type serverState struct {
	connected bool
	waiting   uint64 // messages not confirmed by the server
	published uint64 // all messages so far
}

// serverWatch reports the connection between the node and a server that is not
// the demo's own: when it is lost, what waits, and when everything has been
// delivered.
type serverWatch struct {
	checkedAt, remindedAt time.Time
	awaySince             time.Time   // since when the server is unreachable; zero: it is connected
	backSince             time.Time   // since when it is connected again while messages still wait; zero: none do
	lastOwed              uint64      // the number of the last of these
	maxWaiting            uint64      // how many waited in this outage
	state                 serverState // at the last check
	outages               int
	longest               time.Duration
}

// checkServer checks the connection from time to time and prints what is new.
func (w *serverWatch) checkServer(p *demoRun, now time.Time) {
	if now.Sub(w.checkedAt) < checkInterval {
		return
	}
	w.checkedAt = now
	w.state = p.readServerState()
	switch connected := w.state.connected; {
	case !connected && w.awaySince.IsZero():
		w.awaySince, w.remindedAt, w.maxWaiting = now, now, 0
		w.outages++
		p.printEvent(now, "NATS: the server is away; what happens from now on waits in the outbox")
	case !connected && now.Sub(w.remindedAt) >= reminderInterval:
		w.remindedAt = now
		p.printEvent(now, fmt.Sprintf("NATS: still away, %d messages wait", w.state.waiting))
	case connected && !w.awaySince.IsZero():
		w.longest = max(w.longest, now.Sub(w.awaySince))
		p.printEvent(now, fmt.Sprintf("NATS: the server is back after %v", roundDuration(now.Sub(w.awaySince))))
		w.awaySince, w.backSince, w.lastOwed = time.Time{}, now, w.state.published
	}
	w.maxWaiting = max(w.maxWaiting, w.state.waiting)
	w.checkCaughtUp(p, now)
}

// checkCaughtUp prints when all that had waited has been received.
func (w *serverWatch) checkCaughtUp(p *demoRun, now time.Time) {
	if !w.backSince.IsZero() && w.awaySince.IsZero() && p.sequences.highest >= w.lastOwed && len(p.messages) == 0 {
		p.printEvent(now, fmt.Sprintf("NATS: caught up within %v: %d messages had waited, %d are missing", roundDuration(now.Sub(w.backSince)), w.maxWaiting, p.sequences.countMissing()))
		w.backSince = time.Time{}
	}
}

// messagesDelayed reports whether messages may be delayed.
func (w *serverWatch) messagesDelayed() bool {
	return !w.awaySince.IsZero() || !w.backSince.IsZero()
}
