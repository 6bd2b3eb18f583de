package detector

import (
	"math"
	"time"
)

// arrivalWindow holds the mean and variance of the gaps between an agent's
// keep-alives, weighted towards the latest. An agent whose keep-alive is later
// than they let expect is suspected. It is the accrual failure detector of
// Hayashibara et al. (2004), with the normal distribution and, because
// only one level is needed, solved for the time at which phi reaches it.
type arrivalWindow struct {
	mean, variance float32 // of the gaps: milliseconds, and their square
	last           uint32  // the last keep-alive: milliseconds, modulo 2^32
	gaps           uint8   // number of gaps, up to maxGaps
	inSteps        bool    // not each keep-alive is seen: the agent is passive
}

const (
	// minGaps is how many gaps it takes before an agent can be suspected.
	minGaps = 4
	// maxGaps is how many gaps count: the weight of a new one is 1/maxGaps.
	maxGaps = 16
	// suspicionDeviations is how many standard deviations late an agent is when it is
	// suspected: phi = 8, one keep-alive in 10^8 if the gaps are normal.
	suspicionDeviations = 5.6
	// minDeviation and minDeviationShare bound the standard deviation from below,
	// absolutely and by the mean: else a very regular agent would be suspected for
	// the least delay.
	minDeviation      = 250 // milliseconds
	minDeviationShare = 1.0 / 16
)

func instantToMilliseconds(at Instant) uint32 { return uint32(at / Instant(time.Millisecond)) }

// addKeepAliveArrival adds a keep-alive; first means that the time before it is no gap.
func (r *arrivalWindow) addKeepAliveArrival(at Instant, first bool) {
	now := instantToMilliseconds(at)
	gap := float32(now - r.last)
	r.last = now
	if first {
		return
	}
	if r.gaps < maxGaps {
		r.gaps++
	}
	weight := 1 / float32(r.gaps)
	delta := gap - r.mean
	r.mean += weight * delta
	r.variance = (1 - weight) * (r.variance + weight*delta*delta)
}

// suspectAfter returns how long the agent may be silent before it is suspected, and
// false while there are too few gaps.
func (r *arrivalWindow) suspectAfter() (time.Duration, bool) {
	if r.gaps < minGaps {
		return 0, false
	}
	mean := float64(r.mean)
	deviation := max(math.Sqrt(float64(r.variance)), minDeviation, mean*minDeviationShare)
	return time.Duration((mean + suspicionDeviations*deviation) * float64(time.Millisecond)), true
}
