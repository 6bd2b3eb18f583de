package detector

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestQuantilesAreAtMostAnEighthTooHigh(t *testing.T) {
	for _, d := range []time.Duration{0, 999, time.Microsecond, 15 * time.Microsecond, 16 * time.Microsecond, 1023 * time.Microsecond,
		time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute} {
		var m atomicHistogram
		m.addDuration(d)
		h := m.readClassCounts()
		if got := h.Quantile(0.99); got <= d || got > d+d/8+time.Microsecond {
			t.Errorf("the quantile of %v is %v", d, got)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var m atomicHistogram
	m.addDuration(time.Hour)
	before := m.readClassCounts()
	for range 98 {
		m.addDuration(4 * time.Microsecond)
	}
	m.addDuration(9 * time.Microsecond)
	m.addDuration(-time.Second)
	all := m.readClassCounts()
	h := all.Since(&before)
	if n := h.Count(); n != 100 {
		t.Errorf("%d durations, want 100", n)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.01: 1, 0.02: 5, 0.99: 5, 1: 10} {
		if got := h.Quantile(q); got != want*time.Microsecond {
			t.Errorf("quantile %v is %v, want %v", q, got, want*time.Microsecond)
		}
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
	if got := all.Quantile(1); got < time.Minute {
		t.Errorf("an hour counts as %v, want more than a minute", got)
	}
}

func TestADetectorRecordsItsTimings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, _ := startDetector(t, defaults)
		time.Sleep(time.Second + SweepPeriod/2)
		synctest.Wait()
		p := d.Timings()
		for _, h := range []*Histogram{&p.Lateness, &p.Sweep, &p.Round} {
			if h.Count() != 10 || h.Quantile(1) != time.Microsecond {
				t.Errorf("%d sweeps in a second, the longest %v: want 10 in no time", h.Count(), h.Quantile(1))
			}
		}
	})
}
