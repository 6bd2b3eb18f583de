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

// DetectorConfig configures [MeasureDetector].
type DetectorConfig struct {
	Agents   int           // from 1 up
	For      time.Duration // how long to measure
	Progress io.Writer     // receives lines of progress
}

const (
	// introduceCost is about how long it takes to introduce one agent.
	introduceCost = 3 * time.Microsecond
	// warmUp is the time between loading the agents and the measurement.
	warmUp = 2 * time.Second
	// progressInterval is the time between two lines of progress.
	progressInterval = 5 * time.Second
)

// MeasureDetector measures a detector with many agents, until ctx ends or the
// time is over. It returns a report without an error only if something was
// measured.
func MeasureDetector(ctx context.Context, cfg DetectorConfig) (*DetectorReport, error) {
	defaults := config.Default()
	set, err := daemon.Detection(&defaults)
	if err != nil {
		return nil, err
	}
	f := newFleet(cfg.Agents)
	before := heapInUse()
	f.detector = detector.New(set, f.clock, f.recordDecisions)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { f.detector.Run(ctx) })
	running.Go(func() { f.answerKeepAlives(ctx) })

	r := &DetectorReport{Agents: cfg.Agents}
	r.LoadSeconds = f.loadAgents(ctx, cfg)
	r.BytesPerAgent = float64(heapInUse()-before) / float64(cfg.Agents)
	running.Go(func() { f.reportKeepAlives(ctx) })
	if !sleepContext(ctx, warmUp) {
		return nil, errors.New("ended before anything was measured")
	}
	return r, f.measureRun(ctx, cfg, r)
}

// loadAgents introduces all agents and returns how many seconds that took.
func (f *fleet) loadAgents(ctx context.Context, cfg DetectorConfig) float64 {
	fmt.Fprintf(cfg.Progress, "letting %d agents in\n", cfg.Agents)
	began := time.Now()
	f.detector.SetMembers(makeMembers(cfg.Agents))
	first := f.clock.Now().Add(time.Duration(cfg.Agents) * introduceCost)
	f.introduceAgents(ctx, first)
	f.start = max(first, f.clock.Now())
	took := time.Since(began)
	fmt.Fprintf(cfg.Progress, "they are in after %v\n", took.Round(10*time.Millisecond))
	return took.Seconds()
}

// sleepContext waits for d and reports whether ctx is still valid.
func sleepContext(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// measureRun fills in the report with what happens until the time is over.
func (f *fleet) measureRun(ctx context.Context, cfg DetectorConfig, r *DetectorReport) error {
	from, err := f.takeSnapshot()
	if err != nil {
		return err
	}
	fmt.Fprintf(cfg.Progress, "measuring for %v; Ctrl-C ends it early\n", cfg.For)
	for left := cfg.For; left > 0 && sleepContext(ctx, min(left, progressInterval)); left -= progressInterval {
		if left > progressInterval {
			now := f.readTally()
			fmt.Fprintf(cfg.Progress, "%v to go; %d keep-alives asked for, %d disconnections\n", left-progressInterval, now.sent-from.tally.sent,
				now.to[detector.Disconnected])
		}
	}
	to, err := f.takeSnapshot()
	if err != nil {
		return err
	}
	r.fillBetween(&from, &to)
	r.Behind = float64(f.turnsUntil(to.at)-to.seen) / float64(cfg.Agents) * notifyInterval.Seconds()
	roundFigures(r)
	return nil
}

// snapshot is the state of the detector and the process at one moment.
type snapshot struct {
	at        detector.Instant
	seen      int64
	tally     tally
	pace      detector.Timings
	processor time.Duration
	resident  int64
}

func (f *fleet) takeSnapshot() (v snapshot, err error) {
	v.at, v.seen, v.tally, v.pace = f.clock.Now(), f.seen.Load(), f.readTally(), f.detector.Timings()
	if v.processor, err = processorTime(); err != nil {
		return v, err
	}
	v.resident, err = residentBytes()
	return v, err
}
