package demo

// sequenceTracker counts messages by their sequence numbers: received,
// received twice, and missing below the highest.
type sequenceTracker struct {
	contiguous uint64          // all up to this one were received
	beyond     map[uint64]bool // received, after a gap
	highest    uint64
	repeated   int
}

func newSequenceTracker() *sequenceTracker { return &sequenceTracker{beyond: make(map[uint64]bool)} }

// addSequence adds a message's number and reports whether it is new.
func (a *sequenceTracker) addSequence(sequence uint64) bool {
	if sequence <= a.contiguous || a.beyond[sequence] {
		a.repeated++
		return false
	}
	a.beyond[sequence] = true
	a.highest = max(a.highest, sequence)
	for a.beyond[a.contiguous+1] {
		a.contiguous++
		delete(a.beyond, a.contiguous)
	}
	return true
}

// countMissing returns how many are missing below the highest.
func (a *sequenceTracker) countMissing() int { return int(a.highest-a.contiguous) - len(a.beyond) }
