package history

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// maxEvents is how many events are kept: an outage of a fleet of 25 000
	// and its end, some 10 MiB.
	maxEvents = 50_000
	// roundTripBytes bounds the round trips of all agents together.
	roundTripBytes = 32 << 20
)

// Event is a decision about an agent or the fleet.
type Event struct {
	Seq uint64 // from 1, rising by one
	// Kind is the kind of an event.
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
	Changes  int       // Flapping; Change: how many it stands for, 0 for itself alone
	// Fleet is an outage, in wall-clock time.
	Fleet *Fleet // Outage, Recovered
	Pause time.Duration
}

// Kind is the kind of an event.
type Kind uint8

// The kinds.
const (
	Change    Kind = iota // an agent's status changed
	Flapping              // an agent's status changes too often
	Outage                // a large part of the fleet was lost at once
	Recovered             // most of it is back
	Starved               // Pulse itself was stopped or starved, for Pause
)

// Fleet is an outage in wall-clock time.
type Fleet struct {
	detector.Fleet
	Since time.Time
}

// Delay returns how long it took until a change was known. For a loss that is
// the time since the agent's last sign of life, since nobody knows when it
// failed; for everything else the time since it happened. It is 0 where that
// is unknown.
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

// History holds events and round trips. See [New].
type History struct {
	clock *detector.Clock

	mu         sync.Mutex
	ring       []Event // by sequence, modulo its length once that is limit
	limit      int
	last       uint64
	more       chan struct{} // closed with the next event; nil if no reader waits
	roundTrips roundTripStore
	outage     *Fleet // the present outage; nil without one
}

// New returns an empty history. The clock must be the detector's.
func New(clock *detector.Clock) *History { return newHistory(clock, maxEvents, roundTripBytes) }

func newHistory(clock *detector.Clock, events, bytes int) *History {
	return &History{clock: clock, limit: events, roundTrips: newRoundTripStore(time.Now(), bytes)}
}

// RecordDecisions adds decisions, in order. It must be called by one
// goroutine.
func (h *History) RecordDecisions(decisions []detector.Decision) {
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
			h.roundTrips.addSample(d.ID, wall(d.At), d.RTT)
		case detector.Failed:
			h.roundTrips.addSample(d.ID, wall(d.At), missedRTT)
		case detector.Changed, detector.Flapping, detector.OutageBegan, detector.OutageEnded, detector.Resumed:
			e := newEvent(d, wall)
			e.Known = known.Round(0)
			h.addEvent(e)
		}
	}
	h.wakeReaders()
}

func newEvent(d *detector.Decision, wall func(detector.Instant) time.Time) Event {
	e := Event{At: wall(d.At), ID: d.ID, Name: d.Name, IP: d.IP}
	switch d.Verdict {
	case detector.Changed:
		e.From, e.To, e.Reason, e.Missed, e.Outage, e.Changes = d.From, d.To, d.Reason, d.Missed, d.Outage, d.Changes
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
		e.Kind, e.Pause = Starved, d.Pause
	}
	return e
}

// RestoreEvents adds events of an earlier run of the node, oldest first. It
// must be called before RecordDecisions.
func (h *History) RestoreEvents(events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		h.addEvent(events[i])
	}
	h.wakeReaders()
}

func (h *History) addEvent(e Event) {
	h.last++
	e.Seq = h.last
	switch {
	case e.Kind == Outage:
		h.outage = e.Fleet
	case e.Kind == Recovered:
		h.outage = nil
	case e.Kind == Change && e.Reason == detector.AgentRemoved:
		h.roundTrips.removeAgent(e.ID)
	}
	if len(h.ring) < h.limit {
		h.ring = append(h.ring, e)
		return
	}
	h.ring[(e.Seq-1)%uint64(h.limit)] = e
}

func (h *History) wakeReaders() {
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// eventAt returns the kept event with a sequence.
func (h *History) eventAt(seq uint64) *Event { return &h.ring[(seq-1)%uint64(len(h.ring))] }

// oldestSequence returns the sequence of the oldest kept event.
func (h *History) oldestSequence() uint64 { return h.last - uint64(len(h.ring)) + 1 }
