package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// PublishConfig says what to measure.
type PublishConfig struct {
	Server   string    // the NATS server to publish to; "" for one of its own, in a process of its own
	Messages int       // through the whole way; the other parts go by it
	Sign     bool      // the messages, as a node does by default; the bare client's are not
	Progress io.Writer // what a person sees meanwhile
}

// Subjects and streams of a measurement, which no XDR platform reads.
const (
	pulsePrefix, pulseStream = "bench-pulse.out", "PULSE_BENCH"
	barePrefix, bareStream   = "bench-plain.out", "PULSE_BENCH_BARE"
)

// outageRate is how many keep-alive events a second there are of the fleet.
const outageRate = 2 * fleetSize / 60

// statusIn is how many messages there are to a status change, while nothing much happens.
const statusIn = 100

// Publish measures the way from decisions of a detector to messages that are
// confirmed by a NATS server. It needs the JetStream of that.
func Publish(ctx context.Context, cfg PublishConfig) (_ *PublishReport, err error) {
	f, err := reach(ctx, cfg.Server)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	dir, err := os.MkdirTemp("", "pulse-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	m := &measurement{cfg: cfg, far: f, dir: dir, rest: remembering, report: &PublishReport{Messages: cfg.Messages}}
	if err := m.run(ctx); ctx.Err() != nil {
		return nil, errors.New("ended before everything was measured")
	} else if err != nil {
		return nil, err
	}
	round(m.report)
	return m.report, nil
}

// measurement is one that runs.
type measurement struct {
	cfg    PublishConfig
	far    *far
	dir    string
	rest   time.Duration // between an outage and its end
	report *PublishReport
}

func (m *measurement) run(ctx context.Context) error {
	if err := m.travel(ctx, "whole", m.far.url, m.whole, m.latency, m.storm); err != nil {
		return err
	}
	if err := m.travel(ctx, "outage", "", m.local, m.outage); err != nil {
		return err
	}
	if err := m.travel(ctx, "outage", m.far.url, m.catchUp); err != nil {
		return err
	}
	if err := m.watchMemory(); err != nil {
		return err
	}
	var err error
	if m.report.Stored, err = m.far.stored(ctx); err != nil {
		return err
	}
	m.say("the bare client publishes %d messages", m.cfg.Messages)
	if m.report.Bare, err = m.far.bare(ctx, m.cfg.Messages); err != nil {
		return err
	}
	m.report.Ratio = m.report.Whole / m.report.Bare
	return nil
}

// watchMemory takes the peak of the memory used since the last time into the report.
func (m *measurement) watchMemory() error {
	peak, err := peakResident()
	if err != nil {
		return err
	}
	m.report.PeakResidentBytes = max(m.report.PeakResidentBytes, peak)
	return nil
}

func (m *measurement) say(format string, args ...any) {
	fmt.Fprintf(m.cfg.Progress, format+"\n", args...)
}

// travel opens the way out in a state directory and measures parts of it.
func (m *measurement) travel(ctx context.Context, state, url string, parts ...func(context.Context, *way) error) (err error) {
	w, err := openWay(ctx, filepath.Join(m.dir, state), url, m.cfg.Sign)
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

// whole is from decisions to confirmations, as many as the way takes.
func (m *measurement) whole(ctx context.Context, w *way) error {
	m.say("%d decisions, as fast as they are stored and confirmed", m.cfg.Messages)
	began := time.Now()
	if err := w.feed(ctx, m.cfg.Messages, statusIn, m.teller("decided")); err != nil {
		return err
	}
	if err := w.settle(ctx, true); err != nil {
		return err
	}
	m.report.Whole = float64(m.cfg.Messages) / time.Since(began).Seconds()
	return nil
}

// teller tells of progress every now and then.
func (m *measurement) teller(what string) func(int) {
	last := time.Now()
	return func(done int) {
		if time.Since(last) > telling {
			last = time.Now()
			m.say("%d %s", done, what)
		}
	}
}

// storm is many agents lost at once.
func (m *measurement) storm(ctx context.Context, w *way) error {
	m.report.Storm = max(m.cfg.Messages/20, 1)
	m.say("%d agents are lost at once", m.report.Storm)
	began := time.Now()
	for range m.report.Storm {
		w.change()
	}
	if err := w.settle(ctx, false); err != nil {
		return err
	}
	m.report.StormDurable = time.Since(began).Seconds()
	if err := w.settle(ctx, true); err != nil {
		return err
	}
	m.report.StormConfirmed = time.Since(began).Seconds()
	return nil
}

// local is from decisions to the local disk, without a server.
func (m *measurement) local(ctx context.Context, w *way) error {
	m.say("%d decisions, as fast as they are stored", m.cfg.Messages)
	began := time.Now()
	if err := w.feed(ctx, m.cfg.Messages, statusIn, m.teller("decided")); err != nil {
		return err
	}
	if err := w.settle(ctx, false); err != nil {
		return err
	}
	m.report.Local = float64(m.cfg.Messages) / time.Since(began).Seconds()
	return m.watchMemory()
}

// remembering is a little longer than a node's own server knows the messages it
// has stored, so as to drop what comes twice.
const remembering = 16 * time.Second

// outage makes what is stored as much as a fleet's keep-alives while the server is
// away come to: an hour's with the default of 200 000 messages. In an hour they
// come slowly. So the memory that storing them in seconds takes does not count.
func (m *measurement) outage(ctx context.Context, w *way) error {
	n := 3 * m.cfg.Messages
	m.say("the server is away: %d keep-alives, sent and answered, are stored", n)
	if err := w.feed(ctx, 2*n-w.decided, statusIn, m.teller("stored")); err != nil {
		return err
	}
	if err := w.settle(ctx, false); err != nil {
		return err
	}
	m.report.CatchUp = w.passed().stored()
	if !pause(ctx, m.rest) {
		return ctx.Err()
	}
	return nil
}

// catchUp is the server's return, while the fleet's keep-alives go on.
func (m *measurement) catchUp(ctx context.Context, w *way) error {
	m.say("it is back: %d messages go out, while keep-alives go on", m.report.CatchUp)
	w.before = m.report.CatchUp
	if err := forgetPeak(); err != nil {
		return err
	}
	began := time.Now()
	live, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.live(live, outageRate, func(int) { w.keepAlive() })
	}()
	tell := m.teller("confirmed")
	err := w.wait(ctx, func() bool { n := w.passed().confirmed(); tell(n); return n >= m.report.CatchUp })
	stop()
	<-done
	m.report.CatchUpSeconds = time.Since(began).Seconds()
	m.report.Forward = float64(m.report.CatchUp) / m.report.CatchUpSeconds
	return errors.Join(err, w.settle(ctx, true))
}
