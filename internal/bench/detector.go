package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// DetectorConfig says what to measure.
type DetectorConfig struct {
	Agents   int           // from 1 up
	For      time.Duration // how long to measure
	Progress io.Writer     // what a person sees meanwhile
}

const (
	// introducing is about how long it takes to let one agent in.
	introducing = 3 * time.Microsecond
	// settling is the time between the load and the measurement.
	settling = 2 * time.Second
	// telling is the time between two lines of progress.
	telling = 5 * time.Second
)

// Detector measures a detector that holds a fleet, until ctx ends or the time
// is over. A report comes without an error only if something was measured.
func Detector(ctx context.Context, cfg DetectorConfig) (*DetectorReport, error) {
	defaults := config.Default()
	set, err := daemon.Detection(&defaults)
	if err != nil {
		return nil, err
	}
	f := newFleet(cfg.Agents)
	before := heap()
	f.detector = detector.New(set, f.clock, f.decide)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { f.detector.Run(ctx) })
	running.Go(func() { f.answer(ctx) })

	r := &DetectorReport{Agents: cfg.Agents}
	r.LoadSeconds = f.load(ctx, cfg)
	r.BytesPerAgent = float64(heap()-before) / float64(cfg.Agents)
	running.Go(func() { f.live(ctx) })
	if !pause(ctx, settling) {
		return nil, errors.New("ended before anything was measured")
	}
	return r, f.measure(ctx, cfg, r)
}

// load lets the fleet in and returns how many seconds that took.
func (f *fleet) load(ctx context.Context, cfg DetectorConfig) float64 {
	fmt.Fprintf(cfg.Progress, "letting %d agents in\n", cfg.Agents)
	began := time.Now()
	f.detector.SetMembers(members(cfg.Agents))
	first := f.clock.Now().Add(time.Duration(cfg.Agents) * introducing)
	f.introduce(ctx, first)
	f.start = max(first, f.clock.Now())
	took := time.Since(began)
	fmt.Fprintf(cfg.Progress, "they are in after %v\n", took.Round(10*time.Millisecond))
	return took.Seconds()
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// measure fills in the report with what happens until the time is over.
func (f *fleet) measure(ctx context.Context, cfg DetectorConfig, r *DetectorReport) error {
	from, err := f.look()
	if err != nil {
		return err
	}
	fmt.Fprintf(cfg.Progress, "measuring for %v; Ctrl-C ends it early\n", cfg.For)
	for left := cfg.For; left > 0 && pause(ctx, min(left, telling)); left -= telling {
		if left > telling {
			now := f.counted()
			fmt.Fprintf(cfg.Progress, "%v to go; %d keep-alives asked for, %d disconnections\n", left-telling, now.sent-from.tally.sent,
				now.to[detector.Disconnected])
		}
	}
	to, err := f.look()
	if err != nil {
		return err
	}
	r.between(&from, &to)
	r.Behind = float64(f.due(to.at)-to.seen) / float64(cfg.Agents) * notify.Seconds()
	round(r)
	return nil
}

// view is what shows at a moment.
type view struct {
	at        detector.Instant
	seen      int64
	tally     tally
	pace      detector.Pace
	processor time.Duration
	resident  int64
}

func (f *fleet) look() (v view, err error) {
	v.at, v.seen, v.tally, v.pace = f.clock.Now(), f.seen.Load(), f.counted(), f.detector.Pace()
	if v.processor, err = processorTime(); err != nil {
		return v, err
	}
	v.resident, err = resident()
	return v, err
}
