// Package removals decides whether agents that are missing from an inventory may be
// removed at once, or may be missing by mistake: an emptied file, a torn one, a table
// that a restore has only begun to fill.
//
// It starts no goroutines. A History is for one goroutine.
package removals

import "time"

const (
	// Fewer than least, or less than one in part, may be removed at once, unless they
	// are all.
	least = 5
	part  = 4
	// window is for how long those that were removed at once count.
	window = 10 * time.Minute
)

// History records which agents were removed at once lately, so that a fleet that
// vanishes little by little is noticed too. The zero value is ready for use.
type History struct{ removed []removal }

type removal struct {
	at time.Time
	n  int
}

// Doubtful reports whether a reading that lacks so many of the agents known may be a
// mistake. Damaged is true for a reading that is torn or has parts that are no text.
func (h *History) Doubtful(lost, known int, damaged bool, now time.Time) bool {
	recent := h.count(now)
	all := lost + recent
	return lost > 0 && (damaged || lost == known || all >= least && all*part >= known+recent)
}

// Record records that agents were removed at once.
func (h *History) Record(n int, now time.Time) {
	if n > 0 {
		h.removed = append(h.removed, removal{now, n})
	}
}

// count returns how many agents were removed within the window, and forgets the others.
func (h *History) count(now time.Time) (n int) {
	kept := h.removed[:0]
	for _, r := range h.removed {
		if now.Sub(r.at) < window {
			kept = append(kept, r)
			n += r.n
		}
	}
	h.removed = kept
	return n
}
