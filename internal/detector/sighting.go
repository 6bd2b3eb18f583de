package detector

import (
	"net/netip"
	"sync"
)

// Kind is the kind of a sighting.
type Kind uint8

// The kinds of sighting. All before SawClosed are signs of life.
const (
	SawEvent      Kind = iota // any message that is none of the below
	SawKeepAlive              // the agent's own keep-alive
	SawAnswer                 // its answer to the keep-alive with the sighting's Token
	SawStartup                // its startup message
	SawShutdown               // its shutdown message
	SawClosed                 // its connection closed
	ClosedInDoubt             // the same, and it takes the sighting's Token in seconds to find out whether it has moved: that long it is not lost
	Unsent                    // nothing: the keep-alive with the sighting's Token has not left the link yet
	SawElsewhere              // nothing: the node with the sighting's Token as its number has claimed the agent; 0: this one has again
	LostElsewhere             // nothing: that node had the agent last, and it was lost there or stopped
	tableCall                 // nothing: the inbox's call with the sighting's Token as its index
)

// Sighting is what a link has received from an agent, or observed of its connection.
type Sighting struct {
	At    Instant
	Addr  netip.Addr // where the agent is, if known
	ID    AgentID
	Token uint32 // of an answer: the keep-alive it answers; elsewhere: a NodeNumber; in doubt: seconds
	Kind  Kind
}

// isUrgent reports whether a sighting is processed at once, and not with the next sweep.
func (k Kind) isUrgent() bool { return k >= SawStartup && k <= ClosedInDoubt }

// inboxLimit bounds the sightings that wait for the detector. When it is
// reached, Report blocks, so that the links read no more from the agents.
const inboxLimit = 1 << 16

// inbox queues sightings for the detector. Any goroutine may add; one takes.
type inbox struct {
	mu      sync.Mutex
	notFull sync.Cond
	queued  []Sighting
	spare   []Sighting
	calls   []func(*Table, Instant) // of the queued sightings of the kind tableCall
	closed  bool
	wake    chan struct{} // signals an urgent sighting, or many
}

func newInbox() *inbox {
	in := &inbox{wake: make(chan struct{}, 1)}
	in.notFull.L = &in.mu
	return in
}

// addSighting adds a sighting.
func (in *inbox) addSighting(s Sighting, urgent bool) { in.addInput(s, nil, urgent) }

// addCall adds a call of the table that is ordered with the sightings.
func (in *inbox) addCall(at Instant, urgent bool, call func(*Table, Instant)) {
	in.addInput(Sighting{At: at, Kind: tableCall}, call, urgent)
}

func (in *inbox) addInput(s Sighting, call func(*Table, Instant), urgent bool) {
	in.mu.Lock()
	for len(in.queued) >= inboxLimit && !in.closed {
		in.notFull.Wait()
	}
	if !in.closed {
		if call != nil {
			s.Token = uint32(len(in.calls))
			in.calls = append(in.calls, call)
		}
		in.queued = append(in.queued, s)
	}
	ring := urgent || len(in.queued) >= inboxLimit/4
	in.mu.Unlock()
	if ring {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// takeInputs returns the queued sightings, which are valid until its next call, and the
// calls among them.
func (in *inbox) takeInputs() ([]Sighting, []func(*Table, Instant)) {
	in.mu.Lock()
	got, calls := in.queued, in.calls
	in.queued, in.spare, in.calls = in.spare[:0], got, nil
	in.mu.Unlock()
	if len(got) >= inboxLimit {
		in.notFull.Broadcast()
	}
	return got, calls
}

// close unblocks all who wait to add a sighting; later ones are dropped.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.notFull.Broadcast()
}
