package daemon

import "testing"

func TestGarbageIsCollectedSoonerWhileThereIsLittle(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name   string
		rates  []int // collections a second, for ten seconds each
		live   uint64
		wanted int
	}{
		{"a start", nil, 70 * mib, gcPercent},
		{"quiet", []int{5, 0}, 70 * mib, lowGCPercent},
		{"all agents start", []int{0, 5}, 70 * mib, gcPercent},
		{"more than one a second", []int{1, 2}, 70 * mib, gcPercent},
		{"one a second, once it was quiet", []int{0, 1}, 70 * mib, lowGCPercent},
		{"one a second from the start", []int{1, 1}, 70 * mib, gcPercent},
		{"a small heap", []int{0, 0}, 40 * mib, 25},
		{"a tiny heap", []int{0, 0}, 5 * mib, gcPercent},
		{"an empty heap", []int{0, 0}, 0, gcPercent},
		{"a large heap", []int{0, 0}, 4000 * mib, lowGCPercent},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tuner := gcTuner{percent: gcPercent}
			cycles := uint64(100)
			tuner.adjustPercent(cycles, test.live)
			for _, rate := range test.rates {
				for range gcTunerSeconds {
					cycles += uint64(rate)
					tuner.adjustPercent(cycles, test.live)
				}
			}
			if tuner.percent != test.wanted {
				t.Errorf("%d %%, want %d", tuner.percent, test.wanted)
			}
		})
	}
}

func TestABurstOfGarbageIsNotCollectedSooner(t *testing.T) {
	tuner := gcTuner{percent: gcPercent}
	for range gcTunerSeconds + 1 {
		tuner.adjustPercent(100, 70<<20)
	}
	if tuner.percent != lowGCPercent {
		t.Fatalf("quiet: %d %%", tuner.percent)
	}
	if !tuner.adjustPercent(100+burstCycles, 70<<20) || tuner.percent != gcPercent {
		t.Errorf("a burst: %d %%", tuner.percent)
	}
	for range gcTunerSeconds {
		tuner.adjustPercent(100+burstCycles, 70<<20)
	}
	if tuner.percent != lowGCPercent {
		t.Errorf("after it: %d %%", tuner.percent)
	}
}
