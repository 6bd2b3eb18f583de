package agentsim

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkKeepAlive reports the simulator's own CPU time for one keep-alive and
// its ack (cpu-µs/op), at 2 000 of them a second over loopback TCP. Its wall time
// only measures how long that takes.
func BenchmarkKeepAlive(b *testing.B) {
	f := newFleet(b, Config{Manager: startAcker(b), Keys: testKeys(b, 2000), Notify: time.Second})
	start(b, f)
	settle(b, f)
	acked := func(n uint64) {
		for tick := time.NewTicker(10 * time.Millisecond); f.counters.acks.Load() < n; {
			<-tick.C
		}
	}
	acked(2000)
	before, from := cpuTime(b), f.counters.acks.Load()
	b.ResetTimer()
	acked(from + uint64(b.N))
	b.StopTimer()
	n := f.counters.acks.Load() - from
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(n), "cpu-µs/op")
}

// BenchmarkIdleAgent reports the memory of a connected agent that waits for its
// next keep-alive (B/agent: heap and stacks), and how fast agents connect.
func BenchmarkIdleAgent(b *testing.B) {
	const agents = 5000
	addr := startAcker(b)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := newFleet(b, Config{Manager: addr, Keys: testKeys(b, agents), Notify: time.Hour})
		stop := start(b, f)
		settle(b, f)
		runtime.GC()
		runtime.GC() // the second empties the pools
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/agents, "B/agent")
		b.ReportMetric(agents/f.Stats().Settled.Seconds(), "agents/s")
		stop()
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
