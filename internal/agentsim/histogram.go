package agentsim

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits = 4 // 16 buckets to each power of two: no bucket is wider than a 16th of its durations
	subs    = 1 << subBits
	// 44 bits of nanoseconds are almost five hours; longer ones count as that.
	maxBits = 44
	buckets = (maxBits - subBits + 1) * subs
)

// histogram counts durations in buckets of a fixed relative width. Its size
// does not depend on how many there are. The zero value is empty; all methods
// may be called concurrently.
type histogram struct {
	bucket [buckets]atomic.Uint64
	max    atomic.Int64
}

func (h *histogram) addDuration(d time.Duration) {
	d = max(d, 0)
	h.bucket[bucketOf(d)].Add(1)
	for was := h.max.Load(); int64(d) > was && !h.max.CompareAndSwap(was, int64(d)); {
		was = h.max.Load()
	}
}

// clearCounts makes the histogram empty. Durations that are added meanwhile may count or not.
func (h *histogram) clearCounts() {
	for i := range h.bucket {
		h.bucket[i].Store(0)
	}
	h.max.Store(0)
}

func bucketOf(d time.Duration) int {
	n := min(uint64(d), 1<<maxBits-1)
	shift := max(bits.Len64(n)-subBits-1, 0)
	return shift*subs + int(n>>shift)
}

// bucketMax returns the longest duration of a bucket.
func bucketMax(bucket int) time.Duration {
	shift := max(bucket/subs-1, 0)
	first := uint64(bucket - shift*subs)
	return time.Duration((first+1)<<shift - 1)
}

func (h *histogram) summarize() Latency {
	var counts [buckets]uint64
	l := Latency{Max: time.Duration(h.max.Load())}
	for i := range counts {
		counts[i] = h.bucket[i].Load()
		l.Count += counts[i]
	}
	quantile := func(percent uint64) time.Duration {
		rank := (l.Count*percent + 99) / 100
		for i, seen := 0, uint64(0); i < buckets && rank > 0; i++ {
			if seen += counts[i]; seen >= rank {
				return min(bucketMax(i), l.Max)
			}
		}
		return 0
	}
	l.P50, l.P99 = quantile(50), quantile(99)
	return l
}
