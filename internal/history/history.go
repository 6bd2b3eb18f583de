package history

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// eventsMax is how many events are kept: an outage of a fleet of 25 000 and
	// its end, some 10 MiB.
	eventsMax = 50_000
	// tripBytes is for the round trips of all agents together.
	tripBytes = 32 << 20
)

// Event is something that was decided about an agent or the fleet.
type Event struct {
	Seq   uint64 // from 1, rising by one
	Kind  Kind
	At    time.Time // when it happened
	Known time.Time // when it was decided

	ID       detector.AgentID // Change, Flapping
	Name, IP string
	From, To detector.Status // Change
	Reason   detector.Reason
	Missed   int
	LastSeen time.Time // Change: zero if there was no sign of life
	Outage   bool      // Change: part of an outage
	Changes  int       // Flapping
	Fleet    *Fleet    // Outage, Recovered
	Lull     time.Duration
}

// Kind says what kind of event it is.
type Kind uint8

// The kinds.
const (
	Change    Kind = iota // an agent's status changed
	Flapping              // an agent's status changes too often
	Outage                // a large part of the fleet was lost at once
	Recovered             // most of it is back
	Away                  // Pulse itself was stopped or starved, for Lull
)

// Fleet is an outage in wall-clock time.
type Fleet struct {
	detector.Fleet
	Since time.Time
}

// Delay is how soon a change was known. For a loss that is how long ago the
// agent's last sign of life was, since nobody knows when it died; for
// everything else the time since it happened. It is 0 where it cannot be told.
func (e *Event) Delay() time.Duration {
	from := e.At
	if e.Kind == Change && e.To == detector.Disconnected {
		if from = e.LastSeen; e.Reason == detector.AgentShutdown {
			from = e.At
		}
	}
	if from.IsZero() {
		return 0
	}
	return max(e.Known.Sub(from), 0)
}

// History is what is remembered. See [New].
type History struct {
	clock *detector.Clock

	mu    sync.Mutex
	ring  []Event // by sequence, modulo its length once that is eventsMax
	limit int
	last  uint64
	more  chan struct{} // closed with the next event; nil if nobody waits
	trips trips
	now   *Fleet // the outage that goes on
}

// New returns an empty history. The clock is the detector's.
func New(clock *detector.Clock) *History { return newHistory(clock, eventsMax, tripBytes) }

func newHistory(clock *detector.Clock, events, bytes int) *History {
	return &History{clock: clock, limit: events, trips: newTrips(time.Now(), bytes)}
}

// Note takes what was decided, in order. One goroutine may call it.
func (h *History) Note(decisions []detector.Decision) {
	if len(decisions) == 0 {
		return
	}
	now, known := h.clock.Now(), time.Now()
	wall := func(i detector.Instant) time.Time { return known.Add(i.Sub(now)).Round(0) }
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range decisions {
		d := &decisions[i]
		switch d.Verdict {
		case detector.Acknowledged:
			h.trips.add(d.ID, wall(d.At), d.RTT)
		case detector.Failed:
			h.trips.add(d.ID, wall(d.At), missed)
		case detector.Changed, detector.Flapping, detector.OutageBegan, detector.OutageEnded, detector.Resumed:
			e := eventOf(d, wall)
			e.Known = known.Round(0)
			h.add(e)
		}
	}
	h.tell()
}

func eventOf(d *detector.Decision, wall func(detector.Instant) time.Time) Event {
	e := Event{At: wall(d.At), ID: d.ID, Name: d.Name, IP: d.IP}
	switch d.Verdict {
	case detector.Changed:
		e.From, e.To, e.Reason, e.Missed, e.Outage = d.From, d.To, d.Reason, d.Missed, d.Outage
		if d.Seen {
			e.LastSeen = wall(d.LastSeen)
		}
	case detector.Flapping:
		e.Kind, e.Changes = Flapping, d.Changes
	case detector.OutageBegan, detector.OutageEnded:
		e.Kind, e.Fleet = Outage, &Fleet{Fleet: *d.Fleet, Since: wall(d.Fleet.Since)}
		if d.Verdict == detector.OutageEnded {
			e.Kind = Recovered
		}
	case detector.Resumed:
		e.Kind, e.Lull = Away, d.Lull
	}
	return e
}

// Recall takes events of an earlier life of the node, oldest first. It comes
// before the first Note.
func (h *History) Recall(events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		h.add(events[i])
	}
	h.tell()
}

func (h *History) add(e Event) {
	h.last++
	e.Seq = h.last
	switch {
	case e.Kind == Outage:
		h.now = e.Fleet
	case e.Kind == Recovered:
		h.now = nil
	case e.Kind == Change && e.Reason == detector.AgentRemoved:
		h.trips.drop(e.ID)
	}
	if len(h.ring) < h.limit {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[(e.Seq-1)%uint64(h.limit)] = e
}

func (h *History) tell() {
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// at returns the event with a sequence that is kept.
func (h *History) at(seq uint64) *Event { return &h.ring[(seq-1)%uint64(len(h.ring))] }

// oldest is the sequence of the first event that is kept.
func (h *History) oldest() uint64 { return h.last - uint64(len(h.ring)) + 1 }
