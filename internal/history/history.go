// Package history keeps, in bounded memory, the last events of the whole fleet
// and the last round trips of each agent, for the console. The messages on
// NATS are the record.
//
// The detector's goroutine adds decisions and never waits for a reader: each
// reader has a position among the events instead of a queue, and one that
// falls behind learns how many events are gone. All methods may be called
// concurrently. The package starts no goroutines.
package history

import (
	"sync"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// maxEvents is how many events are kept: an outage of a fleet of 25 000
	// and its end, some 5 MiB.
	maxEvents = 50_000
	// roundTripBytes bounds the round trips of all agents together.
	roundTripBytes = 32 << 20
)

// Event is a decision about an agent or the fleet.
type Event struct {
	Seq   uint64 // from 1, rising by one
	Kind  Kind
	At    time.Time // when it happened
	Known time.Time // when it was decided

	ID       detector.AgentID // Change, Away, Flapping
	Name, IP string
	Node     string          // that has the agent, or had it; "" for this one
	From, To detector.Status // Change, Away
	Reason   detector.Reason // the same, and all up to Changes
	Missed   int
	LastSeen time.Time                    // zero if there was no sign of life
	Outage   bool                         // part of an outage
	Info     unique.Handle[detector.Info] // zero if nothing is known
	detector.Evidence
	Silenced bool
	AwayFor  time.Duration   // Away
	Step     int             // Away: from 1
	Changes  int             // Flapping; Change: how many it stands for, 0 for itself alone
	Fleet    *detector.Fleet // Outage, Recovered
	Pause    time.Duration   // Starved
	Cluster  *Cluster        // NodeLost, NodeBack, Duplicated
}

// Cluster is what an event is about that concerns several nodes.
type Cluster struct {
	Node     string    // NodeLost, NodeBack
	Agents   int       // the same: that it had, or has
	Machines []Machine // Duplicated
}

// Machine is one of several that have the key of one agent.
type Machine struct{ Node, IP string }

// Kind is the kind of an event.
type Kind uint8

// The kinds.
const (
	Change     Kind = iota // an agent's status changed
	Away                   // an agent has been away for AwayFor, and its alert was repeated
	Flapping               // an agent's status changes too often
	Outage                 // a large part of the fleet was lost at once
	Recovered              // most of it is back
	Starved                // Pulse itself was stopped or starved, for Pause
	NodeLost               // a node of the cluster is silent
	NodeBack               // it is back
	Duplicated             // two machines have the key of one agent
)

// Delay returns how long it took until a change was known. For a loss that is
// the time since the agent's last sign of life, since it is not known when it
// failed; for everything else the time since it happened. It is 0 where that
// is unknown, of Away, and of agents of other nodes.
func (e *Event) Delay() time.Duration {
	from := e.At
	if e.Kind == Away || e.Node != "" { // by another node's clock
		return 0
	}
	if e.Kind == NodeLost {
		from = e.LastSeen
	}
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
	mu         sync.Mutex
	events     eventRing
	more       chan struct{} // closed with the next event; nil if no reader waits
	roundTrips roundTripStore
	outage     *detector.Fleet // the present outage; nil without one
}

// New returns an empty history.
func New() *History { return newHistory(maxEvents, roundTripBytes) }

func newHistory(events, bytes int) *History {
	return &History{events: eventRing{limit: events}, roundTrips: newRoundTripStore(time.Now(), bytes)}
}

// RecordDecisions adds decisions, in order. It must be called by one
// goroutine.
func (h *History) RecordDecisions(decisions []detector.Decision) {
	if len(decisions) == 0 {
		return
	}
	known := time.Now().Round(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range decisions {
		d := &decisions[i]
		switch d.Verdict {
		case detector.Acknowledged:
			h.roundTrips.addSample(d.ID, d.Time, d.RTT)
		case detector.Failed:
			h.roundTrips.addSample(d.ID, d.Time, missedRTT)
		case detector.Changed, detector.Escalated, detector.Flapping, detector.OutageBegan, detector.OutageEnded, detector.Resumed:
			e := newEvent(d)
			e.Known = known
			if !known.After(e.At) { // a decision's time is rounded to the millisecond
				e.Known = e.At.Add(time.Microsecond)
			}
			h.addEvent(e)
		}
	}
	h.wakeReaders()
}

func newEvent(d *detector.Decision) Event {
	e := Event{At: d.Time, ID: d.ID, Name: d.Name, IP: d.IP}
	switch d.Verdict {
	case detector.Changed, detector.Escalated:
		e.From, e.To, e.Reason, e.Missed, e.Outage, e.Changes = d.From, d.To, d.Reason, d.Missed, d.Outage, d.Changes
		e.LastSeen, e.Info, e.Evidence, e.Silenced = d.LastSeenTime, unique.Make(d.Info), d.Evidence, d.Silenced
		if d.Verdict == detector.Escalated {
			e.Kind, e.AwayFor, e.Step = Away, d.AwayFor, d.Step
		}
	case detector.Flapping:
		e.Kind, e.Changes = Flapping, d.Changes
	case detector.OutageBegan, detector.OutageEnded:
		e.Kind, e.Fleet = Outage, d.Fleet
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

// AddEvents adds events that this node has not decided, in order, known now. Any goroutine may call it.
func (h *History) AddEvents(events ...Event) {
	known := time.Now().Round(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		e.Known = known
		h.addEvent(e)
	}
	h.wakeReaders()
}

func (h *History) addEvent(e Event) {
	switch {
	case e.Kind == Outage:
		h.outage = e.Fleet
	case e.Kind == Recovered:
		h.outage = nil
	case e.Kind == Change && e.Reason == detector.AgentRemoved && e.Node == "":
		h.roundTrips.removeAgent(e.ID)
	}
	h.events.addEvent(&e)
}

func (h *History) wakeReaders() {
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}
