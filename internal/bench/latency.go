package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/outbox"
)

const (
	liveRate = 500 // decisions a second
	liveIn   = 3   // of these, one is a status change
	// blink is the time between two looks at what passed: what a latency is exact to.
	blink = 50 * time.Microsecond
)

// live decides rate times a second until ctx ends.
func (w *way) live(ctx context.Context, rate int, decide func(i int)) {
	began, decided := time.Now(), 0
	look := time.NewTicker(glance)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); decided < due; decided++ {
			decide(decided)
		}
	}
}

// latency is how long a status change takes while keep-alives go on.
func (m *measurement) latency(ctx context.Context, w *way) error {
	n := max(m.cfg.Messages/40, liveIn)
	m.say("%d decisions, %d a second", n, liveRate)
	before := w.passed()
	live, stop := context.WithCancel(ctx)
	defer stop()
	decided := make(chan time.Time, n)
	go func() {
		defer close(decided)
		w.live(live, liveRate, func(i int) {
			switch {
			case i >= n:
				stop()
			case i%liveIn == liveIn-1:
				decided <- time.Now()
				w.change()
			default:
				w.keepAlive()
			}
		})
	}()
	stored, confirmed, err := w.watch(before, decided)
	m.report.LocalP50, m.report.LocalP99 = quantile(stored, 50), quantile(stored, 99)
	m.report.P50, m.report.P99 = quantile(confirmed, 50), quantile(confirmed, 99)
	return err
}

// watch returns how long each status change took from its decision until it was
// stored, and until it was confirmed. It returns when decided is closed.
func (w *way) watch(before passage, decided <-chan time.Time) (stored, confirmed []time.Duration, err error) {
	var at []time.Time
	more := true
	for more || len(confirmed) < len(at) {
		for waiting := true; waiting; {
			var t time.Time
			select {
			case t, more = <-decided:
				if waiting = more; more {
					at = append(at, t)
				}
			default:
				waiting = false
			}
		}
		p, now := w.passed(), time.Now()
		stored = passing(stored, at, p.local[outbox.Status]-before.local[outbox.Status], now)
		confirmed = passing(confirmed, at, p.far[outbox.Status]-before.far[outbox.Status], now)
		if n := len(confirmed); n < len(at) && now.Sub(at[n]) > stall {
			return nil, nil, fmt.Errorf("a status change was not confirmed within %v", stall)
		}
		time.Sleep(blink)
	}
	return stored, confirmed, nil
}

// passing appends how long those took that have passed by now.
func passing(took []time.Duration, at []time.Time, passed uint64, now time.Time) []time.Duration {
	for len(took) < min(int(passed), len(at)) {
		took = append(took, now.Sub(at[len(took)]))
	}
	return took
}

// quantile is in milliseconds.
func quantile(took []time.Duration, percent int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[(len(took)-1)*percent/100].Seconds() * 1000
}
