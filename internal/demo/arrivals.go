package demo

// arrivals counts messages by their sequence numbers: which came, which came
// twice, and which are missing below the highest.
type arrivals struct {
	whole    uint64          // all up to this one have come
	above    map[uint64]bool // came, beyond a hole
	highest  uint64
	repeated int
}

func newArrivals() *arrivals { return &arrivals{above: make(map[uint64]bool)} }

// note takes a message's number, and reports whether it is new.
func (a *arrivals) note(sequence uint64) bool {
	if sequence <= a.whole || a.above[sequence] {
		a.repeated++
		return false
	}
	a.above[sequence] = true
	a.highest = max(a.highest, sequence)
	for a.above[a.whole+1] {
		a.whole++
		delete(a.above, a.whole)
	}
	return true
}

// missing is how many have not come though a later one has.
func (a *arrivals) missing() int { return int(a.highest-a.whole) - len(a.above) }
