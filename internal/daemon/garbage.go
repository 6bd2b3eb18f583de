package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcPercent is how much the heap may grow before it is collected. A node
	// allocates little and holds much: with 10 000 agents it takes 40 MiB less than
	// with Go's default of 100, and no more processor time.
	gcPercent = 40
	// lowGCPercent is that of a node with little to do. With 10 000 agents it takes another
	// 40 MiB less. While all of them start it would cost a quarter of the processor time.
	lowGCPercent = 15
	// leastGrowth is by how many bytes a smaller heap may grow nevertheless, but for gcPercent.
	leastGrowth = 10 << 20
)

// SetGCPercent sets the garbage collector's target for a process that runs a
// node, unless the environment variable GOGC is set.
func SetGCPercent() {
	if !isGCPercentSet() {
		debug.SetGCPercent(gcPercent)
	}
}

func isGCPercentSet() bool { return os.Getenv("GOGC") != "" }

// TuneGCPercent has garbage collected sooner while there is little of it, until ctx ends,
// unless the environment variable GOGC is set. It is for a process that runs a node.
func TuneGCPercent(ctx context.Context) {
	if isGCPercentSet() {
		return
	}
	samples := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	tuner := gcTuner{percent: gcPercent}
	for tick := time.NewTicker(time.Second); ; {
		metrics.Read(samples)
		if tuner.adjustPercent(samples[0].Value.Uint64(), samples[1].Value.Uint64()) {
			debug.SetGCPercent(tuner.percent)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

const (
	gcTunerSeconds = 10
	// quietCycles is how many collections in gcTunerSeconds are few, and busyCycles how many
	// are many: with lowGCPercent there are 2.7 times as many.
	quietCycles = 3
	busyCycles  = 10
	// burstCycles is how many are many in one second.
	burstCycles = 3
)

// gcTuner chooses the garbage collector's target once a second.
type gcTuner struct {
	percent int
	counts  [gcTunerSeconds]uint64 // of collections so far, in the last seconds
	calls   int
}

// adjustPercent takes up how many collections there were so far, and how many bytes the last one
// left. It reports whether it has changed the percentage.
func (t *gcTuner) adjustPercent(cycles, live uint64) bool {
	oldest, last := t.counts[t.calls%gcTunerSeconds], t.counts[(t.calls+gcTunerSeconds-1)%gcTunerSeconds]
	t.counts[t.calls%gcTunerSeconds] = cycles
	t.calls++
	if t.calls <= gcTunerSeconds {
		return false
	}
	before := t.percent
	switch lately := cycles - oldest; {
	case lately > busyCycles, cycles-last >= burstCycles:
		t.percent = gcPercent
	case lately <= quietCycles, t.percent < gcPercent:
		t.percent = min(gcPercent, max(lowGCPercent, int(100*leastGrowth/max(live, 1))))
	}
	return t.percent != before
}
