package history

import (
	"runtime"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// BenchmarkAMillionAgents measures the memory of the history of a million agents.
func BenchmarkAMillionAgents(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		h := New()
		d := make([]detector.Decision, 1)
		for range 6 {
			for id := detector.AgentID(1); id <= 1_000_000; id++ {
				d[0] = detector.Decision{Verdict: detector.Acknowledged, ID: id, RTT: time.Millisecond}
				h.RecordDecisions(d)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/agent")
		b.ReportMetric(float64(len(h.RoundTrips(1_000_000))), "trips/agent")
		runtime.KeepAlive(h)
	}
}
