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
	// latencyResolution is the time between two readings of the progress, and
	// so the resolution of latencies.
	latencyResolution = 50 * time.Microsecond
)

// decideAtRate calls decide rate times a second until ctx ends.
func (w *pipeline) decideAtRate(ctx context.Context, rate int, decide func(i int)) {
	began, decided := time.Now(), 0
	look := time.NewTicker(pollInterval)
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

// measureLatency measures how long a status change takes while keep-alives go
// on.
func (m *measurement) measureLatency(ctx context.Context, w *pipeline) error {
	n := max(m.cfg.Messages/40, liveIn)
	m.printProgress("%d decisions, %d a second", n, liveRate)
	before := w.readProgress()
	live, stop := context.WithCancel(ctx)
	defer stop()
	decided := make(chan time.Time, n)
	go func() {
		defer close(decided)
		w.decideAtRate(live, liveRate, func(i int) {
			switch {
			case i >= n:
				stop()
			case i%liveIn == liveIn-1:
				decided <- time.Now()
				w.decideLoss()
			default:
				w.decideKeepAlive()
			}
		})
	}()
	stored, confirmed, err := w.measureLatencies(before, decided)
	m.report.LocalP50, m.report.LocalP99 = quantileMillis(stored, 50), quantileMillis(stored, 99)
	m.report.P50, m.report.P99 = quantileMillis(confirmed, 50), quantileMillis(confirmed, 99)
	return err
}

// measureLatencies returns how long each status change took from its decision
// until it was stored, and until it was confirmed. It returns when decided is
// closed.
func (w *pipeline) measureLatencies(before progress, decided <-chan time.Time) (stored, confirmed []time.Duration, err error) {
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
		p, now := w.readProgress(), time.Now()
		stored = appendLatencies(stored, at, p.local[outbox.Status]-before.local[outbox.Status], now)
		confirmed = appendLatencies(confirmed, at, p.remote[outbox.Status]-before.remote[outbox.Status], now)
		if n := len(confirmed); n < len(at) && now.Sub(at[n]) > stallTimeout {
			return nil, nil, fmt.Errorf("a status change was not confirmed within %v", stallTimeout)
		}
		time.Sleep(latencyResolution)
	}
	return stored, confirmed, nil
}

// appendLatencies appends the durations of those that have been stored or
// confirmed by now.
func appendLatencies(took []time.Duration, at []time.Time, passed uint64, now time.Time) []time.Duration {
	for len(took) < min(int(passed), len(at)) {
		took = append(took, now.Sub(at[len(took)]))
	}
	return took
}

// quantileMillis returns a quantile in milliseconds.
func quantileMillis(took []time.Duration, percent int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[(len(took)-1)*percent/100].Seconds() * 1000
}
