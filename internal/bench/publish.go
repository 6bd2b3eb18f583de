package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// PublishConfig configures [MeasurePublish].
type PublishConfig struct {
	Server   string    // the NATS server to publish to; "" for one of its own, in a process of its own
	Messages int       // of the main part; the others are proportional to it
	Sign     bool      // the messages, as a node does by default; the bare client's are not
	Profile  string    // a file for the profile of the processor time of the whole way and of the storm; "" for none
	Brief    bool      // only the main part and the storm, and the bare client
	Progress io.Writer // receives lines of progress
}

// Subjects and streams of a measurement, which no XDR platform reads.
const (
	pulsePrefix, pulseStream = "bench-pulse.out", "PULSE_BENCH"
	barePrefix, bareStream   = "bench-plain.out", "PULSE_BENCH_BARE"
)

// outageRate is the number of keep-alive events a second of the fleet.
const outageRate = 2 * fleetSize / 60

// statusIn is how many messages there are for each status change in normal
// operation.
const statusIn = 100

// MeasurePublish measures publishing, from decisions of a detector to messages
// that a NATS server has confirmed. The server needs JetStream.
func MeasurePublish(ctx context.Context, cfg PublishConfig) (_ *PublishReport, err error) {
	f, err := connectServer(ctx, cfg.Server)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	dir, err := os.MkdirTemp("", "pulse-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if cfg.Profile != "" {
		stop, err := startProfile(cfg.Profile)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	m := &measurement{cfg: cfg, server: f, dir: dir, rest: dedupWindow, report: &PublishReport{Messages: cfg.Messages}}
	if err := m.runAll(ctx); ctx.Err() != nil {
		return nil, errors.New("ended before everything was measured")
	} else if err != nil {
		return nil, err
	}
	roundFigures(m.report)
	return m.report, nil
}

// measurement is one run of [MeasurePublish].
type measurement struct {
	cfg    PublishConfig
	server *natsServer
	dir    string
	rest   time.Duration // between an outage and its end
	report *PublishReport
}

func (m *measurement) runAll(ctx context.Context) error {
	parts := []func(context.Context, *pipeline) error{m.measureWhole, m.measureStorm, endProfile}
	if !m.cfg.Brief {
		parts = append(parts, m.measureLatency)
	}
	if err := m.runParts(ctx, "whole", m.server.url, parts...); err != nil {
		return err
	}
	if !m.cfg.Brief {
		if err := m.runOutage(ctx); err != nil {
			return err
		}
	}
	if err := m.recordPeakMemory(); err != nil {
		return err
	}
	var err error
	if m.report.Stored, err = m.server.countStored(ctx); err != nil {
		return err
	}
	m.printProgress("the bare client publishes %d messages", m.cfg.Messages)
	if m.report.Bare, m.report.BareCPU, err = m.server.publishBare(ctx, m.cfg.Messages); err != nil {
		return err
	}
	m.report.Ratio = m.report.Whole / m.report.Bare
	return nil
}

// runOutage measures what is stored while the server is away, and its return.
func (m *measurement) runOutage(ctx context.Context) error {
	if err := m.runParts(ctx, "outage", "", m.measureLocal, m.storeOutage); err != nil {
		return err
	}
	return m.runParts(ctx, "outage", m.server.url, m.measureCatchUp)
}

// recordPeakMemory adds the peak of the memory use since the last reset to the
// report.
func (m *measurement) recordPeakMemory() error {
	peak, err := peakResidentBytes()
	if err != nil {
		return err
	}
	m.report.PeakResidentBytes = max(m.report.PeakResidentBytes, peak)
	return nil
}

func (m *measurement) printProgress(format string, args ...any) {
	fmt.Fprintf(m.cfg.Progress, format+"\n", args...)
}

// runParts opens a pipeline in a state directory and measures parts of it.
func (m *measurement) runParts(ctx context.Context, state, url string, parts ...func(context.Context, *pipeline) error) (err error) {
	w, err := openPipeline(ctx, filepath.Join(m.dir, state), url, m.cfg.Sign)
	if err != nil {
		return err
	}
	defer func() {
		m.report.Decided += uint64(w.decided)
		err = errors.Join(err, w.close())
	}()
	for _, part := range parts {

		if err := part(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// endProfile ends the profile, if there is one: the other parts have none.
func endProfile(context.Context, *pipeline) error {
	pprof.StopCPUProfile()
	return nil
}

// measureWhole measures from decisions to confirmations.
func (m *measurement) measureWhole(ctx context.Context, w *pipeline) error {
	m.printProgress("%d decisions, as fast as they are stored and confirmed", m.cfg.Messages)
	began := time.Now()
	used, err := processorTime()
	if err != nil {
		return err
	}
	if err := w.decideMany(ctx, m.cfg.Messages, statusIn, m.progressPrinter("decided")); err != nil {
		return err
	}
	if err := w.waitForAll(ctx, true); err != nil {
		return err
	}
	m.report.Whole = float64(m.cfg.Messages) / time.Since(began).Seconds()
	m.report.WholeCPU, err = processorTimeOfEach(used, m.cfg.Messages)
	return err
}

// progressPrinter returns a function that prints progress from time to time.
func (m *measurement) progressPrinter(what string) func(int) {
	last := time.Now()
	return func(done int) {
		if time.Since(last) > progressInterval {
			last = time.Now()
			m.printProgress("%d %s", done, what)
		}
	}
}

// measureStorm measures the loss of many agents at once.
func (m *measurement) measureStorm(ctx context.Context, w *pipeline) error {
	m.report.Storm = max(m.cfg.Messages/20, 1)
	m.printProgress("%d agents are lost at once", m.report.Storm)
	began := time.Now()
	used, err := processorTime()
	if err != nil {
		return err
	}
	for range m.report.Storm {
		w.decideLoss()
	}
	if err := w.waitForAll(ctx, false); err != nil {
		return err
	}
	m.report.StormDurable = time.Since(began).Seconds()
	if err := w.waitForAll(ctx, true); err != nil {
		return err
	}
	m.report.StormConfirmed = time.Since(began).Seconds()
	m.report.StormCPU, err = processorTimeOfEach(used, m.report.Storm)
	return err
}

// measureLocal measures from decisions to the local disk, without a server.
func (m *measurement) measureLocal(ctx context.Context, w *pipeline) error {
	m.printProgress("%d decisions, as fast as they are stored", m.cfg.Messages)
	began := time.Now()
	if err := w.decideMany(ctx, m.cfg.Messages, statusIn, m.progressPrinter("decided")); err != nil {
		return err
	}
	if err := w.waitForAll(ctx, false); err != nil {
		return err
	}
	m.report.Local = float64(m.cfg.Messages) / time.Since(began).Seconds()
	return m.recordPeakMemory()
}

// dedupWindow is a little longer than the duplicate window of a node's own
// server.
const dedupWindow = 16 * time.Second

// storeOutage stores as much as a fleet's keep-alives during an outage of the
// server: an hour's, with the default of 200 000 messages. In reality they
// come slowly, so the memory needed to store them within seconds does not
// count.
func (m *measurement) storeOutage(ctx context.Context, w *pipeline) error {
	n := 3 * m.cfg.Messages
	m.printProgress("the server is away: %d keep-alives, sent and answered, are stored", n)
	if err := w.decideMany(ctx, 2*n-w.decided, statusIn, m.progressPrinter("stored")); err != nil {
		return err
	}
	if err := w.waitForAll(ctx, false); err != nil {
		return err
	}
	m.report.CatchUp = w.readProgress().totalStored()
	if !sleepContext(ctx, m.rest) {
		return ctx.Err()
	}
	return nil
}

// measureCatchUp measures forwarding after the server's return, while the
// fleet's keep-alives go on.
func (m *measurement) measureCatchUp(ctx context.Context, w *pipeline) error {
	m.printProgress("it is back: %d messages go out, while keep-alives go on", m.report.CatchUp)
	w.storedBefore = m.report.CatchUp
	if err := resetPeak(); err != nil {
		return err
	}
	began := time.Now()
	live, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.decideAtRate(live, outageRate, func(int) { w.decideKeepAlive() })
	}()
	tell := m.progressPrinter("confirmed")
	err := w.waitUntil(ctx, func() bool { n := w.readProgress().totalConfirmed(); tell(n); return n >= m.report.CatchUp })
	stop()
	<-done
	m.report.CatchUpSeconds = time.Since(began).Seconds()
	m.report.Forward = float64(m.report.CatchUp) / m.report.CatchUpSeconds
	return errors.Join(err, w.waitForAll(ctx, true))
}
