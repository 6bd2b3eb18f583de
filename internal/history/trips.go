package history

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	sampleBytes = 8
	samplesMost = 120 // two hours of an agent that is asked once a minute
	samplesHeld = 4   // fewer are not worth keeping

	// missed stands for a keep-alive without an answer.
	missed = time.Duration(-1)
)

// sample is a round trip in eight bytes.
type sample struct {
	at  uint32 // ticks since the trips' beginning
	rtt uint32 // microseconds; sampleMissed
}

const (
	sampleMissed = 1<<32 - 1
	tick         = 20 * time.Millisecond // so that the time of a sample lasts for years
)

// trips are the last round trips of every agent. All have the same room, which
// shrinks as the fleet grows: how many agents there are decides, and not who
// comes last, as every agent that lives is asked as often as the others.
type trips struct {
	since time.Time
	bytes int
	agent map[detector.AgentID]*ring
}

// ring holds an agent's samples. Once it is full, next is the oldest.
type ring struct {
	samples []sample
	next    int
}

func newTrips(since time.Time, bytes int) trips {
	return trips{since: since, bytes: bytes, agent: make(map[detector.AgentID]*ring)}
}

// room is how many samples an agent has.
func (t *trips) room() int {
	return min(t.bytes/sampleBytes/max(len(t.agent), 1), samplesMost)
}

func (t *trips) add(id detector.AgentID, at time.Time, rtt time.Duration) {
	ticks := max(at.Sub(t.since), 0) / tick
	if ticks > 1<<32-1 { // a node that ran for 2.7 years begins anew
		*t = newTrips(at, t.bytes)
		ticks = 0
	}
	r := t.agent[id]
	if r == nil {
		if t.bytes/sampleBytes/(len(t.agent)+1) < samplesHeld {
			return
		}
		r = new(ring)
		t.agent[id] = r
	}
	s := sample{at: uint32(ticks), rtt: sampleMissed}
	if rtt != missed {
		s.rtt = uint32(min(rtt.Microseconds(), sampleMissed-1))
	}
	r.add(s, t.room())
}

func (r *ring) add(s sample, room int) {
	switch {
	case len(r.samples) > room: // there are more agents by now
		kept := r.inOrder()
		r.samples, r.next = append(make([]sample, 0, room), kept[len(kept)-room+1:]...), 0
		r.samples = append(r.samples, s)
	case len(r.samples) < room && r.next == 0:
		if len(r.samples) == cap(r.samples) { // append would take more than there is room for
			r.samples = append(make([]sample, 0, min(max(2*len(r.samples), samplesHeld), room)), r.samples...)
		}
		r.samples = append(r.samples, s)
	default:
		r.samples[r.next] = s
		r.next = (r.next + 1) % len(r.samples)
	}
}

// inOrder returns the samples, oldest first.
func (r *ring) inOrder() []sample {
	return append(append(make([]sample, 0, len(r.samples)), r.samples[r.next:]...), r.samples[:r.next]...)
}

func (t *trips) drop(id detector.AgentID) { delete(t.agent, id) }

func (t *trips) of(id detector.AgentID) []Trip {
	list := []Trip{}
	r := t.agent[id]
	if r == nil {
		return list
	}
	for _, s := range r.inOrder() {
		trip := Trip{At: t.since.Add(time.Duration(s.at) * tick).Round(0), OK: s.rtt != sampleMissed}
		if trip.OK {
			trip.RTT = time.Duration(s.rtt) * time.Microsecond
		}
		list = append(list, trip)
	}
	return list
}
