package ownership

import (
	"slices"
	"time"
)

// frontier is an order up to which the stream is known to have stored records, and what was
// known a moment ago.
type frontier struct {
	order  uint64
	before []known // rising
}

// known is up to which order records were known to be stored at a time.
type known struct {
	at    time.Duration
	order uint64
}

const (
	// knownStep is the least time between two that are remembered, but for the latest.
	knownStep = 50 * time.Millisecond
	// knownMax is how many are: those of ten seconds at least.
	knownMax = 200
	// promptAge is how old a sign of life may be to count as one of this moment.
	promptAge = 20 * time.Millisecond
)

func (f *frontier) advanceTo(order uint64, now time.Duration) {
	if order <= f.order {
		return
	}
	f.order = order
	n := len(f.before)
	if n >= 2 && f.before[n-1].at-f.before[n-2].at < knownStep {
		f.before[n-1] = known{now, order} // of a moment before, the one before that is returned
		return
	}
	if n >= knownMax {
		f.before = slices.Delete(f.before, 0, n/2)
	}
	f.before = append(f.before, known{now, order})
}

// orderBefore returns the order that was known some time ago, and 0 if that is not known any more.
func (f *frontier) orderBefore(now, age time.Duration) uint64 {
	if age <= promptAge {
		return f.order
	}
	for _, k := range slices.Backward(f.before) {
		if k.at <= now-age {
			return k.order
		}
	}
	return 0
}
