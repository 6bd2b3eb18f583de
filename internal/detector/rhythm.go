package detector

import (
	"math"
	"time"
)

// rhythm is what is known of the gaps between an agent's keep-alives: their
// mean and variance, the latest weighing most. An agent whose keep-alive is late
// beyond what they let expect is suspected; that is the accrual failure detector of
// Hayashibara et al. (2004), with the normal distribution and, because it
// needs only one level, solved for the time at which phi reaches it.
type rhythm struct {
	mean, variance float32 // of the gaps: milliseconds, and their square
	last           uint32  // the last keep-alive: milliseconds, modulo 2^32
	gaps           uint8   // gaps learned from, up to memory
}

const (
	// fewestGaps have to be known before an agent has a habit.
	fewestGaps = 4
	// memory is how many gaps count: the weight of a new one is one in memory.
	memory = 16
	// suspicion is how many standard deviations late an agent is when it is
	// suspected: phi = 8, one keep-alive in 10^8 if the gaps are normal.
	suspicion = 5.6
	// steadiest and steadiestShare bound the standard deviation from below,
	// absolutely and by the mean: a clockwork agent is late by a hair very easily.
	steadiest      = 250 // milliseconds
	steadiestShare = 1.0 / 16
)

func milliseconds(at Instant) uint32 { return uint32(at / Instant(time.Millisecond)) }

// beat learns from a keep-alive; first says that the gap before it is none.
func (r *rhythm) beat(at Instant, first bool) {
	now := milliseconds(at)
	gap := float32(now - r.last)
	r.last = now
	if first {
		return
	}
	if r.gaps < memory {
		r.gaps++
	}
	weight := 1 / float32(r.gaps)
	delta := gap - r.mean
	r.mean += weight * delta
	r.variance = (1 - weight) * (r.variance + weight*delta*delta)
}

// patience is how long the agent may be silent before it is suspected. It has
// none while its habit is unknown.
func (r *rhythm) patience() (time.Duration, bool) {
	if r.gaps < fewestGaps {
		return 0, false
	}
	mean := float64(r.mean)
	deviation := max(math.Sqrt(float64(r.variance)), steadiest, mean*steadiestShare)
	return time.Duration((mean + suspicion*deviation) * float64(time.Millisecond)), true
}
