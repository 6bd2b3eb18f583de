package bench

import (
	"math"
	"slices"
)

// trend is how a figure changes with time. It is of all values, and one that is far from
// the others hardly matters to it.
type trend struct {
	slope float64 // of each unit of time: the median of the slopes between any two values (Theil and Sen)
	score float64 // how many standard deviations from chance it is that later values are larger (Mann and Kendall)
}

// findTrend returns the trend of values at the given times, which ascend.
func findTrend(times, values []float64) (t trend) {
	n := len(values)
	if n < 2 {
		return t
	}
	var slopes []float64
	later := 0 // pairs of which the later one is larger, less those of which it is smaller
	for i := range n {
		for j := i + 1; j < n; j++ {
			change := values[j] - values[i]
			slopes = append(slopes, change/(times[j]-times[i]))
			switch {
			case change > 0:
				later++
			case change < 0:
				later--
			}
		}
	}
	slices.Sort(slopes)
	t.slope = (slopes[(len(slopes)-1)/2] + slopes[len(slopes)/2]) / 2
	variance := pairVariance(n)
	for rest := slices.Sorted(slices.Values(values)); len(rest) > 0; {
		same := 1
		for same < len(rest) && rest[same] == rest[0] {
			same++
		}
		variance -= pairVariance(same)
		rest = rest[same:]
	}
	if later != 0 && variance > 0 {
		// One less: the count only takes every other number.
		t.score = (float64(later) - math.Copysign(1, float64(later))) / math.Sqrt(variance)
	}
	return t
}

// pairVariance returns the variance of the count of pairs of n values that have no trend.
func pairVariance(n int) float64 { return float64(n*(n-1)*(2*n+5)) / 18 }
