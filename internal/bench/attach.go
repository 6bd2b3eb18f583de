package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// AttachConfig configures [MeasureAttach].
type AttachConfig struct {
	Agents   int
	For      time.Duration // how long to measure everyday load
	Progress io.Writer
}

const (
	killedAgents    = 10              // agents, one after the other
	hungAgents      = 3               // the same
	failureTimeout  = 2 * time.Minute // for a failure to be reported
	otherClientTime = 30 * time.Second
)

// attachRun is one measurement of a node attached to a manager in another
// process.
type attachRun struct {
	cfg         AttachConfig
	manager     *lineProcess
	agents      *lineProcess
	otherClient *lineProcess
	home        string
	node        *daemon.Node
	losses      chan *nats.Msg
	report      AttachReport
}

// MeasureAttach measures a node beside a simulated manager.
func MeasureAttach(ctx context.Context, cfg AttachConfig) (r *AttachReport, err error) {
	dir, err := os.MkdirTemp("", "pb") // short, for the sockets' paths
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &attachRun{cfg: cfg, losses: make(chan *nats.Msg, 1<<16), report: AttachReport{Agents: cfg.Agents},
		home: filepath.Join(dir, "m")}
	b.printProgress("a simulated manager, and %d agents that connect to it", cfg.Agents)
	home := b.home
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	n := strconv.Itoa(cfg.Agents)
	if b.manager, err = startLineProcess(ManagerArgs, home, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.manager.child.endAndWait()) }()
	if b.agents, err = startLineProcess(AgentsArgs, b.manager.firstLine, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.agents.child.endAndWait()) }()
	if b.otherClient, err = startLineProcess(OtherClientArgs, home, fmt.Sprintf("%03d", cfg.Agents)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.otherClient.child.endAndWait()) }()
	for active := 0; active < cfg.Agents && sleepContext(ctx, 200*time.Millisecond); {
		v, err := b.manager.readState()
		if err != nil {
			return nil, err
		}
		active = v.Active
	}
	b.printProgress("another client alone, for %v", otherClientTime)
	alone, err := b.measureOtherClient(ctx)
	if err != nil {
		return nil, err
	}
	b.report.AloneP50, b.report.AloneMax = alone.P50, alone.Max
	settings := config.Default()
	settings.Pulse.Link, settings.Pulse.Home, settings.Pulse.HTTP = "attach", home, ""
	settings.Pulse.StateDir, settings.NATS.Listen = filepath.Join(dir, "state"), "127.0.0.1:0"
	// The log is formatted as the daemon's is, and discarded.
	if b.node, err = daemon.Open(ctx, &settings, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil))); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = b.node.Run(run) })
	err = b.measureAll(ctx)
	stop()
	running.Wait()
	roundFigures(&b.report)
	return &b.report, errors.Join(err, failed)
}

func (b *attachRun) printProgress(format string, args ...any) {
	fmt.Fprintf(b.cfg.Progress, format+"\n", args...)
}

func (b *attachRun) measureAll(ctx context.Context) error {
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
	b.report.Known = time.Since(began).Seconds()
	if err := b.measureEveryday(ctx); err != nil {
		return err
	}
	b.printProgress("%d agents are killed, and %d hang", killedAgents, hungAgents)
	if b.report.Killed, b.report.Closed, err = b.failAgents(ctx, "kill", 1, killedAgents); err != nil {
		return err
	}
	if b.report.Hung, _, err = b.failAgents(ctx, "hang", 1+killedAgents, hungAgents); err != nil {
		return err
	}
	return b.measureCrowd(ctx)
}

// measureEveryday measures the load while no agent fails.
func (b *attachRun) measureEveryday(ctx context.Context) error {
	b.printProgress("everyday, for %v", b.cfg.For)
	if !sleepContext(ctx, 10*time.Second) { // until the work of the start is done
		return ctx.Err()
	}
	from, err := b.takeSnapshot()
	if err != nil {
		return err
	}
	if !sleepContext(ctx, b.cfg.For) {
		return ctx.Err()
	}
	to, err := b.takeSnapshot()
	if err != nil {
		return err
	}
	b.report.fillBetween(from, to)
	b.report.Inventory = b.node.Status().Link.Attach.Inventory
	b.report.Resident, err = residentBytes()
	return err
}

// attachSnapshot is the state of the node and the manager at one moment.
type attachSnapshot struct {
	at           time.Time
	ours, theirs time.Duration
	stats        managerState
}

func (b *attachRun) takeSnapshot() (v attachSnapshot, err error) {
	if v.stats, err = b.manager.readState(); err != nil {
		return v, err
	}
	v.at = time.Now()
	if v.ours, err = processorTime(); err != nil {
		return v, err
	}
	v.theirs, err = processorTimeOf(b.manager.child.Process.Pid)
	return v, err
}

// failAgents makes agents fail one after the other. It returns the longest
// time until a NATS subscriber received the status change, and the longest
// time until the manager answered that it has no connection to the agent, when
// reconnect_grace begins.
func (b *attachRun) failAgents(ctx context.Context, how string, first, n int) (told, closed float64, err error) {
	for id := first; id < first+n; id++ {
		before := b.countNotConnected()
		began := time.Now()
		if _, err := b.agents.sendLine(fmt.Sprintf("%s %03d", how, id)); err != nil {
			return 0, 0, err
		}
		for how == "kill" && b.countNotConnected() == before && time.Since(began) < failureTimeout && sleepContext(ctx, time.Millisecond) {
		}
		closed = max(closed, time.Since(began).Seconds())
		if err := b.waitForLoss(ctx, fmt.Sprintf("%03d", id)); err != nil {
			return 0, 0, fmt.Errorf("%s agent %03d: %w", how, id, err)
		}
		told = max(told, time.Since(began).Seconds())
	}
	return told, closed, nil
}

// countNotConnected returns how often the manager has answered that it has no
// connection to an agent.
func (b *attachRun) countNotConnected() int64 {
	return b.node.Status().Link.Attach.Outcomes["not_connected"]
}

func (b *attachRun) waitForLoss(ctx context.Context, id string) error {
	deadline := time.After(failureTimeout)
	for {
		select {
		case m := <-b.losses:
			parsed, err := event.Parse(m.Data)
			if err != nil {
				return err
			}
			if c, ok := parsed.(*event.StatusChangeMessage); ok && c.StatusChange.AgentID == id && c.StatusChange.CurrentStatus == event.Disconnected {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("not known after %v", failureTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measureCrowd makes a twentieth of the agents hang and measures requests to
// one that answers, as the Wazuh API makes them.
func (b *attachRun) measureCrowd(ctx context.Context) error {
	first, n := 1+killedAgents+hungAgents, b.cfg.Agents/20
	b.printProgress("%d agents hang, and another client asks for one that lives", n)
	for id := first; id < first+n; id++ {
		if _, err := b.agents.sendLine(fmt.Sprintf("hang %03d", id)); err != nil {
			return err
		}
	}
	with, err := b.measureOtherClient(ctx)
	if err != nil {
		return err
	}
	b.report.GuestP50, b.report.GuestP90, b.report.GuestMax = with.P50, with.P90, with.Max
	stats, err := b.manager.readState()
	b.report.MostInFlight = int(stats.MostInFlight) - 1 // the other client's
	return err
}

// measureOtherClient lets the other client send requests for otherClientTime.
func (b *attachRun) measureOtherClient(ctx context.Context) (v latencies, err error) {
	if _, err := b.otherClient.sendLine("begin"); err != nil {
		return v, err
	}
	if !sleepContext(ctx, otherClientTime) {
		return v, ctx.Err()
	}
	line, err := b.otherClient.sendLine("end")
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(line), &v)
}
