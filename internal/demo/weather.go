package demo

import (
	"fmt"
	"time"
)

const (
	lookPause   = time.Second      // between two looks at the way to the server
	remindPause = 10 * time.Second // between two lines about a server that stays away
	// settleTime is how long the demo waits at its end for what is still on its way.
	settleTime = 10 * time.Second
)

// wayOut is the way to the server at one moment.
type wayOut struct {
	connected bool
	waiting   uint64 // messages not confirmed by the server
	published uint64 // all messages so far
}

// weather tells how it is between the node and a server that is not the demo's
// own: when that goes, what waits for it, and how it is made up for.
type weather struct {
	looked, reminded time.Time
	away             time.Time // since when the server is; zero: it is there
	back             time.Time // since when it is there again and messages still wait; zero: none do
	owed             uint64    // the number of the last of these
	most             uint64    // how many waited in this outage
	way              wayOut    // at the last look
	outages          int
	longest          time.Duration
}

// look looks at the way out, once in a while, and tells what is new.
func (w *weather) look(p *play, now time.Time) {
	if now.Sub(w.looked) < lookPause {
		return
	}
	w.looked = now
	w.way = p.wayOut()
	switch connected := w.way.connected; {
	case !connected && w.away.IsZero():
		w.away, w.reminded, w.most = now, now, 0
		w.outages++
		p.tell(now, "NATS: the server is away; what happens from now on waits in the outbox")
	case !connected && now.Sub(w.reminded) >= remindPause:
		w.reminded = now
		p.tell(now, fmt.Sprintf("NATS: still away, %d messages wait", w.way.waiting))
	case connected && !w.away.IsZero():
		w.longest = max(w.longest, now.Sub(w.away))
		p.tell(now, fmt.Sprintf("NATS: the server is back after %v", short(now.Sub(w.away))))
		w.away, w.back, w.owed = time.Time{}, now, w.way.published
	}
	w.most = max(w.most, w.way.waiting)
	w.caughtUp(p, now)
}

// caughtUp tells when all that had waited has been heard.
func (w *weather) caughtUp(p *play, now time.Time) {
	if !w.back.IsZero() && w.away.IsZero() && p.arrivals.highest >= w.owed && len(p.heard) == 0 {
		p.tell(now, fmt.Sprintf("NATS: caught up within %v: %d messages had waited, %d are missing", short(now.Sub(w.back)), w.most, p.arrivals.missing()))
		w.back = time.Time{}
	}
}

// dark reports whether messages may be held up.
func (w *weather) dark() bool {
	return !w.away.IsZero() || !w.back.IsZero()
}
