package history

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// LastSequence returns the sequence of the newest event; 0 before the first.
func (h *History) LastSequence() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events.last
}

// CurrentOutage returns the present outage, nil if there is none.
func (h *History) CurrentOutage() *detector.Fleet {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outage
}

// EventsAfter returns the events after a sequence, oldest first and at most
// limit, and how many before them are gone. If there are none it returns a
// channel that is closed with the next event.
func (h *History) EventsAfter(seq uint64, limit int) (events []Event, gone uint64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq >= h.events.last {
		if h.more == nil {
			h.more = make(chan struct{})
		}
		return nil, 0, h.more
	}
	first := seq + 1
	if oldest := h.events.oldestSequence(); first < oldest {
		first, gone = oldest, oldest-first
	}
	end := min(h.events.last, first+uint64(limit)-1)
	events = make([]Event, 0, end-first+1)
	for s := first; s <= end; s++ {
		events = append(events, h.events.eventAt(s))
	}
	return events, gone, nil
}

// LatestEvents returns the newest events, newest first and at most limit.
func (h *History) LatestEvents(limit int) []Event {
	return h.filterNewest(limit, func(*packedEvent) bool { return true })
}

// EventsOf returns the newest events of an agent, newest first and at most
// limit.
func (h *History) EventsOf(id detector.AgentID, limit int) []Event {
	return h.filterNewest(limit, func(e *packedEvent) bool { return e.id == id && e.kind <= Flapping })
}

func (h *History) filterNewest(limit int, want func(*packedEvent) bool) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []Event{}
	for s, oldest := h.events.last, h.events.oldestSequence(); s >= oldest && len(found) < limit; s-- {
		if e := h.events.packedAt(s); want(e) {
			found = append(found, e.unpackEvent(s))
		}
	}
	return found
}

// RoundTrip is a keep-alive and its outcome.
type RoundTrip struct {
	At  time.Time // of the answer, or of the miss
	RTT time.Duration
	OK  bool // it was answered
}

// RoundTrips returns an agent's last round trips, oldest first.
func (h *History) RoundTrips(id detector.AgentID) []RoundTrip {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.roundTrips.listAgent(id)
}
