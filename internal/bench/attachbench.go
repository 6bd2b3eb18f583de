package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// AttachConfig configures [MeasureAttach] and [MeasureAttach5].
type AttachConfig struct {
	Agents   int
	For      time.Duration // how long to measure everyday load
	Interval time.Duration // between the node's keep-alives to one agent; 0 for the default
	Everyday bool          // measure nothing else
	Profile  string        // a file for the profile of the node's processor time, everyday; "" for none
	Progress io.Writer
}

// attachSettleTime is for how long nothing is measured after a start, until its work is done.
const attachSettleTime = 10 * time.Second

// attachBench is a node attached to a manager in another process.
type attachBench struct {
	cfg     AttachConfig
	dir     string // has the manager's home and the node's state
	manager *lineProcess
	agents  *lineProcess
	node    *daemon.Node
	losses  chan *nats.Msg // status changes
}

// openAttachBench starts a simulated manager and its agents, both with the last arguments.
func openAttachBench(cfg AttachConfig, more ...string) (b *attachBench, err error) {
	b = &attachBench{cfg: cfg, losses: make(chan *nats.Msg, 1<<16)}
	if b.dir, err = os.MkdirTemp("", "pb"); err != nil { // short, for the sockets' paths
		return nil, err
	}
	if err := b.startManager(more); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *attachBench) startManager(more []string) (err error) {
	if err := os.Mkdir(b.home(), 0o700); err != nil {
		return err
	}
	n := strconv.Itoa(b.cfg.Agents)
	if b.manager, err = startLineProcess(ManagerArgs, append([]string{b.home(), n}, more...)...); err != nil {
		return err
	}
	b.agents, err = startLineProcess(AgentsArgs, append([]string{b.manager.firstLine, n}, more...)...)
	return err
}

func (b *attachBench) home() string { return filepath.Join(b.dir, "m") }

// close ends the agents and the manager, and removes the directory.
func (b *attachBench) close() (err error) {
	for _, p := range []*lineProcess{b.agents, b.manager} {
		if p != nil {
			err = errors.Join(err, p.child.endAndWait())
		}
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

func (b *attachBench) printProgress(format string, args ...any) { b.cfg.printProgress(format, args...) }

func (c *AttachConfig) printProgress(format string, args ...any) {
	fmt.Fprintf(c.Progress, format+"\n", args...)
}

// waitForAgents waits until all agents are active in the manager.
func (b *attachBench) waitForAgents(ctx context.Context) error {
	for active := 0; active < b.cfg.Agents; {
		v, err := b.manager.readState()
		if err != nil {
			return err
		}
		if active = v.Active; !sleepContext(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// runNode runs a node beside the manager while measure runs, which gets the seconds from
// the start until the node knew all agents to be active.
func (b *attachBench) runNode(ctx context.Context, measure func(ctx context.Context, known float64) error) (err error) {
	settings := config.Default()
	settings.Pulse.Link, settings.Pulse.Home, settings.Pulse.HTTP = "attach", b.home(), ""
	settings.KeepAlive.Interval = cmp.Or(b.cfg.Interval, settings.KeepAlive.Interval)
	settings.Pulse.ClientKeys = filepath.Join(b.home(), "etc/client.keys")
	settings.Pulse.StateDir, settings.NATS.Listen = filepath.Join(b.dir, "state"), "127.0.0.1:0"
	// The log is formatted as the daemon's is, and discarded.
	if b.node, err = daemon.Open(ctx, &settings, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil))); err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = b.node.Run(run) })
	err = b.measureNode(ctx, measure)
	stop()
	running.Wait()
	return errors.Join(err, failed)
}

func (b *attachBench) measureNode(ctx context.Context, measure func(ctx context.Context, known float64) error) error {
	nc, err := nats.Connect(b.node.NATSURL(), nats.Name("pulse-bench"))
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := nc.ChanSubscribe(string(event.DefaultPrefix)+".agent.*.status_change", b.losses); err != nil {
		return err
	}
	began := time.Now()
	for b.node.Status().Agents.Active < b.cfg.Agents {
		if !sleepContext(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return measure(ctx, time.Since(began).Seconds())
}

// takeSnapshots takes a snapshot now, and one after a time. Who is beside the manager has used
// what ours returns.
func (b *attachBench) takeSnapshots(ctx context.Context, d time.Duration, ours func() (time.Duration, error)) (from, to attachSnapshot, err error) {
	if from, err = b.takeSnapshot(ours); err != nil {
		return from, to, err
	}
	if !sleepContext(ctx, d) {
		return from, to, ctx.Err()
	}
	to, err = b.takeSnapshot(ours)
	return from, to, err
}

// waitForStart waits until the work of the node's start is done: all agents' states are in the
// bucket.
func (b *attachBench) waitForStart(ctx context.Context) error {
	if !sleepContext(ctx, attachSettleTime) {
		return ctx.Err()
	}
	for written, now := uint64(0), b.countStatesWritten(); now != written; now = b.countStatesWritten() {
		if written = now; !sleepContext(ctx, 2*time.Second) {
			return ctx.Err()
		}
	}
	return nil
}

func (b *attachBench) countStatesWritten() uint64 {
	if kept := b.node.Status().Roster; kept != nil {
		return kept.Written
	}
	return 0
}

// takeEveryday takes snapshots of the load while no agent fails.
func (b *attachBench) takeEveryday(ctx context.Context) (from, to attachSnapshot, err error) {
	b.printProgress("everyday, for %v", b.cfg.For)
	if err := b.waitForStart(ctx); err != nil {
		return from, to, err
	}
	if b.cfg.Profile != "" {
		f, err := os.Create(b.cfg.Profile)
		if err != nil {
			return from, to, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return from, to, err
		}
		defer pprof.StopCPUProfile()
	}
	return b.takeSnapshots(ctx, b.cfg.For, processorTime)
}

// attachSnapshot is the state of who is beside the manager, and of the manager, at one moment.
type attachSnapshot struct {
	at           time.Time
	ours, theirs time.Duration
	stats        managerState
}

func (b *attachBench) takeSnapshot(ours func() (time.Duration, error)) (v attachSnapshot, err error) {
	if v.stats, err = b.manager.readState(); err != nil {
		return v, err
	}
	v.at = time.Now()
	if v.ours, err = ours(); err != nil {
		return v, err
	}
	v.theirs, err = processorTimeOf(b.manager.child.Process.Pid)
	return v, err
}
