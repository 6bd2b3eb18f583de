package detector

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Timings are the durations of all sweeps since the detector began to run.
type Timings struct {
	Lateness Histogram // from the moment a sweep was due to its start
	Sweep    Histogram // deciding what was due
	Round    Histogram // the same, including the sightings before it and passing on the decisions
}

// Histogram counts durations in classes, the first of those under a
// microsecond, none of the others wider than an eighth of its durations.
type Histogram [classes]uint64

const (
	classBits = 3
	// durationBits of microseconds are over a minute; longer ones count as that.
	durationBits = 26
	classes      = (durationBits - classBits + 1) << classBits
)

func histogramClassOf(d time.Duration) int {
	n := uint64(min(max(d.Microseconds(), 0), 1<<durationBits-1))
	shift := max(bits.Len64(n)-classBits-1, 0)
	return shift<<classBits + int(n>>shift)
}

// histogramClassEnd returns the upper end of a class.
func histogramClassEnd(class int) time.Duration {
	shift := max(class>>classBits-1, 0)
	return time.Duration((class-shift<<classBits+1)<<shift) * time.Microsecond
}

// Count returns the number of durations.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile returns a duration that a share q of all, from 0 to 1, does not
// exceed: at most an eighth too high. It is 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank, count := uint64(0), h.Count()
	for class, c := range h {
		if rank += c; c > 0 && float64(rank) >= q*float64(count) {
			return histogramClassEnd(class)
		}
	}
	return 0
}

// UpTo returns how many durations are in classes that end no later than d, which
// is slightly less than the number of durations up to d.
func (h *Histogram) UpTo(d time.Duration) (n uint64) {
	for class, c := range h {
		if histogramClassEnd(class) > d {
			break
		}
		n += c
	}
	return n
}

// Sum returns the sum of all durations, each rounded up to the end of its class.
func (h *Histogram) Sum() (sum time.Duration) {
	for class, c := range h {
		sum += time.Duration(c) * histogramClassEnd(class)
	}
	return sum
}

// Since returns the counts less those of an earlier reading.
func (h *Histogram) Since(earlier *Histogram) (since Histogram) {
	for class := range h {
		since[class] = h[class] - earlier[class]
	}
	return since
}

// atomicHistogram is a histogram that one goroutine writes and any may read.
type atomicHistogram [classes]atomic.Uint64

func (m *atomicHistogram) addDuration(d time.Duration) { m[histogramClassOf(d)].Add(1) }

func (m *atomicHistogram) readClassCounts() (h Histogram) {
	for class := range h {
		h[class] = m[class].Load()
	}
	return h
}

// Timings returns the timings so far. It never waits.
func (d *Detector) Timings() Timings {
	return Timings{Lateness: d.lateness.readClassCounts(), Sweep: d.sweeps.readClassCounts(), Round: d.rounds.readClassCounts()}
}
