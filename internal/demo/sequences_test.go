package demo

import (
	"testing"

	"pgregory.net/rapid"
)

func TestArrivalsCountsWhatIsMissingAndWhatCameTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		came := rapid.SliceOf(rapid.Uint64Range(1, 30)).Draw(t, "came")
		a, seen, twice, highest := newSequenceTracker(), map[uint64]bool{}, 0, uint64(0)
		for _, n := range came {
			if fresh := a.addSequence(n); fresh == seen[n] {
				t.Fatalf("%d is new: %v", n, fresh)
			}
			if seen[n] {
				twice++
			}
			seen[n] = true
			highest = max(highest, n)
		}
		if got, want := a.countMissing(), int(highest)-len(seen); got != want || a.repeated != twice {
			t.Fatalf("missing %d, want %d; repeated %d, want %d", got, want, a.repeated, twice)
		}
	})
}
