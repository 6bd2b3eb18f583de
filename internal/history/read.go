package history

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Last returns the sequence of the newest event; 0 before the first.
func (h *History) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// Now returns the outage that goes on, nil if there is none.
func (h *History) Now() *Fleet {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// After returns the events after a sequence, oldest first and at most limit,
// and how many before them are gone. If there are none it returns what is closed
// when there are more.
func (h *History) After(seq uint64, limit int) (events []Event, gone uint64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq >= h.last {
		if h.more == nil {
			h.more = make(chan struct{})
		}
		return nil, 0, h.more
	}
	first := seq + 1
	if oldest := h.oldest(); first < oldest {
		first, gone = oldest, oldest-first
	}
	end := min(h.last, first+uint64(limit)-1)
	events = make([]Event, 0, end-first+1)
	for s := first; s <= end; s++ {
		events = append(events, *h.at(s))
	}
	return events, gone, nil
}

// Latest returns the newest events, newest first and at most limit.
func (h *History) Latest(limit int) []Event {
	return h.newest(limit, func(*Event) bool { return true })
}

// Of returns an agent's newest events, newest first and at most limit.
func (h *History) Of(id detector.AgentID, limit int) []Event {
	return h.newest(limit, func(e *Event) bool { return e.ID == id && e.Kind <= Flapping })
}

func (h *History) newest(limit int, want func(*Event) bool) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []Event{}
	for s, oldest := h.last, h.oldest(); s >= oldest && len(found) < limit; s-- {
		if e := h.at(s); want(e) {
			found = append(found, *e)
		}
	}
	return found
}

// Trip is a keep-alive and what became of it.
type Trip struct {
	At  time.Time // of the answer, or of the miss
	RTT time.Duration
	OK  bool // it was answered
}

// Trips returns an agent's last round trips, oldest first.
func (h *History) Trips(id detector.AgentID) []Trip {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trips.of(id)
}
