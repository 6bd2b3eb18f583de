package agentsim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreCloseToTheExactOnes(t *testing.T) {
	for _, scale := range []time.Duration{10, time.Microsecond, time.Millisecond, time.Minute} {
		var h histogram
		var all []time.Duration
		r := rand.New(rand.NewPCG(1, uint64(scale)))
		for range 10_000 {
			d := time.Duration(r.ExpFloat64() * float64(scale))
			all = append(all, d)
			h.addDuration(d)
		}
		slices.Sort(all)
		l := h.summarize()
		if h.clearCounts(); h.summarize() != (Latency{}) {
			t.Errorf("not empty after it was cleared: %+v", h.summarize())
		}
		if l.Count != 10_000 || l.Max != all[9999] {
			t.Errorf("count %d, max %v", l.Count, l.Max)
		}
		for _, q := range []struct{ got, exact time.Duration }{{l.P50, all[4999]}, {l.P99, all[9899]}} {
			if q.got < q.exact || q.got > q.exact+q.exact/subs+1 {
				t.Errorf("scale %v: %v, want %v", scale, q.got, q.exact)
			}
		}
	}
}

func TestEveryDurationHasABucket(t *testing.T) {
	var h histogram
	h.addDuration(-time.Second)
	h.addDuration(0)
	h.addDuration(1 << 62)
	if l := h.summarize(); l.Count != 3 || l.P50 != 0 || l.Max != 1<<62 {
		t.Errorf("got %+v", l)
	}
	if (&histogram{}).summarize() != (Latency{}) {
		t.Error("an empty histogram has quantiles")
	}
	for i := range buckets {
		if got := bucketOf(bucketMax(i)); got != i {
			t.Fatalf("bucket %d ends at %v, which is in bucket %d", i, bucketMax(i), got)
		}
	}
}
