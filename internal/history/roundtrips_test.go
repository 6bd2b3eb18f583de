package history

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestAnAgentKeepsItsLastRoundTrips(t *testing.T) {
	began := time.Now()
	trips := newRoundTripStore(began, 1<<20)
	for i := range maxSamples + 30 {
		trips.addSample(1, began.Add(time.Duration(i)*time.Second), time.Duration(i)*time.Millisecond)
	}
	got := trips.listAgent(1)
	if len(got) != maxSamples || got[0].RTT != 30*time.Millisecond || got[len(got)-1].RTT != (maxSamples+29)*time.Millisecond {
		t.Errorf("%d from %v to %v", len(got), got[0], got[len(got)-1])
	}
	for i := 1; i < len(got); i++ {
		if got[i].At.Sub(got[i-1].At).Round(time.Second) != time.Second {
			t.Fatalf("%v after %v", got[i].At, got[i-1].At)
		}
	}
	if none := trips.listAgent(2); none == nil || len(none) != 0 {
		t.Errorf("%v", none)
	}
	trips.removeAgent(1)
	if len(trips.listAgent(1)) != 0 {
		t.Error("an agent that was removed is remembered")
	}
}

// A fleet of any size takes no more than there is, and no agent gets less than
// others who live as long.
func TestTheRoundTripsOfAFleetTakeNoMoreThanThereIs(t *testing.T) {
	const room = 64 << 10
	began := time.Now()
	trips := newRoundTripStore(began, room)
	size := func() (bytes int) {
		for _, r := range trips.agent {
			bytes += cap(r.samples) * sampleBytes
		}
		return bytes
	}
	for _, agents := range []int{10, 100, 1000, 10_000} {
		for i := range 2 * maxSamples {
			for id := 1; id <= agents; id++ {
				trips.addSample(detector.AgentID(id), began.Add(time.Duration(i)*time.Second), time.Millisecond)
			}
		}
		kept := min(room/sampleBytes/min(agents, len(trips.agent)), maxSamples)
		if got := len(trips.listAgent(1)); got != kept || size() > room+room/8 {
			t.Errorf("%d agents: %d round trips of one, want %d; %d bytes", agents, got, kept, size())
		}
	}
	if n := len(trips.agent); n != room/sampleBytes/minSamples {
		t.Errorf("%d agents are remembered", n)
	}
}

func TestATripIsKeptInEightBytes(t *testing.T) {
	began := time.Now()
	trips := newRoundTripStore(began, 1<<20)
	trips.addSample(1, began.Add(-time.Hour), 2*time.Hour)
	if got := trips.listAgent(1)[0]; !got.OK || got.RTT < time.Hour || got.At.Sub(began) > time.Second {
		t.Errorf("%+v", got)
	}
	trips.addSample(1, began.Add(3*365*24*time.Hour), missedRTT)
	if got := trips.listAgent(1); len(got) != 1 || got[0].OK || got[0].At.Sub(began) < 2*365*24*time.Hour {
		t.Errorf("%+v", got)
	}
}

func BenchmarkNote(b *testing.B) {
	h := New()
	d := make([]detector.Decision, 1000)
	for b.Loop() {
		for i := range d {
			d[i] = detector.Decision{Verdict: detector.Acknowledged, ID: detector.AgentID(i + 1), RTT: time.Millisecond}
		}
		h.RecordDecisions(d)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(d)), "ns/decision")
}
