package history

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	sampleBytes = 8
	maxSamples  = 120 // two hours with a keep-alive a minute
	minSamples  = 4   // for fewer, an agent's samples are not kept

	// missedRTT stands for a keep-alive without an answer.
	missedRTT = time.Duration(-1)
)

// sample is a round trip in eight bytes.
type sample struct {
	at  uint32 // ticks since roundTripStore.since
	rtt uint32 // microseconds, or missedSample
}

const (
	missedSample = 1<<32 - 1
	sampleTick   = 20 * time.Millisecond // 32 bits of ticks last for 2.7 years
)

// roundTripStore holds the last round trips of every agent. All have the same
// number of samples, which shrinks as the fleet grows: agents that are active
// are asked equally often, so the size of the fleet decides, and not which
// agent came last.
type roundTripStore struct {
	since time.Time
	bytes int
	agent map[detector.AgentID]*ring
}

// ring holds an agent's samples. Once it is full, next is the oldest.
type ring struct {
	samples []sample
	next    int
}

func newRoundTripStore(since time.Time, bytes int) roundTripStore {
	return roundTripStore{since: since, bytes: bytes, agent: make(map[detector.AgentID]*ring)}
}

// samplesPerAgent returns how many samples each agent may have.
func (t *roundTripStore) samplesPerAgent() int {
	return min(t.bytes/sampleBytes/max(len(t.agent), 1), maxSamples)
}

func (t *roundTripStore) addSample(id detector.AgentID, at time.Time, rtt time.Duration) {
	ticks := max(at.Sub(t.since), 0) / sampleTick
	if ticks > 1<<32-1 { // after 2.7 years of one run
		*t = newRoundTripStore(at, t.bytes)
		ticks = 0
	}
	r := t.agent[id]
	if r == nil {
		if t.bytes/sampleBytes/(len(t.agent)+1) < minSamples {
			return
		}
		r = new(ring)
		t.agent[id] = r
	}
	s := sample{at: uint32(ticks), rtt: missedSample}
	if rtt != missedRTT {
		s.rtt = uint32(min(rtt.Microseconds(), missedSample-1))
	}
	r.addSample(s, t.samplesPerAgent())
}

func (r *ring) addSample(s sample, room int) {
	switch {
	case len(r.samples) > room: // the fleet has grown since
		kept := r.inOrder()
		r.samples, r.next = append(make([]sample, 0, room), kept[len(kept)-room+1:]...), 0
		r.samples = append(r.samples, s)
	case len(r.samples) < room && r.next == 0:
		if len(r.samples) == cap(r.samples) { // append would allocate more than room
			r.samples = append(make([]sample, 0, min(max(2*len(r.samples), minSamples), room)), r.samples...)
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

func (t *roundTripStore) removeAgent(id detector.AgentID) { delete(t.agent, id) }

func (t *roundTripStore) listAgent(id detector.AgentID) []RoundTrip {
	list := []RoundTrip{}
	r := t.agent[id]
	if r == nil {
		return list
	}
	for _, s := range r.inOrder() {
		trip := RoundTrip{At: t.since.Add(time.Duration(s.at) * sampleTick).Round(0), OK: s.rtt != missedSample}
		if trip.OK {
			trip.RTT = time.Duration(s.rtt) * time.Microsecond
		}
		list = append(list, trip)
	}
	return list
}
