package detector

import "sync"

// inboxLimit bounds the sightings that wait for the detector. When it is
// reached, those who report wait too, and so, in the end, do the agents.
const inboxLimit = 1 << 16

// inbox gathers sightings between two rounds of the detector. Any goroutine
// may put; one drains.
type inbox struct {
	mu     sync.Mutex
	room   sync.Cond
	waits  []Sighting
	spare  []Sighting
	closed bool
	wake   chan struct{} // something urgent, or a lot, is in
}

func newInbox() *inbox {
	in := &inbox{wake: make(chan struct{}, 1)}
	in.room.L = &in.mu
	return in
}

func (in *inbox) put(s Sighting, urgent bool) {
	in.mu.Lock()
	for len(in.waits) >= inboxLimit && !in.closed {
		in.room.Wait()
	}
	if !in.closed {
		in.waits = append(in.waits, s)
	}
	ring := urgent || len(in.waits) >= inboxLimit/4
	in.mu.Unlock()
	if ring {
		select {
		case in.wake <- struct{}{}:
		default:
		}
	}
}

// drain returns what came in. It is valid until the next drain.
func (in *inbox) drain() []Sighting {
	in.mu.Lock()
	got := in.waits
	in.waits, in.spare = in.spare[:0], got
	in.mu.Unlock()
	if len(got) >= inboxLimit {
		in.room.Broadcast()
	}
	return got
}

// close lets go everyone who waits to put; what is put from then on is dropped.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.room.Broadcast()
}
