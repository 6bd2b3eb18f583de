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

// AttachConfig says what to measure beside a manager.
type AttachConfig struct {
	Agents   int
	For      time.Duration // of everyday
	Progress io.Writer
}

const (
	killed    = 10              // agents, one after the other
	hung      = 3               // the same
	deathTime = 2 * time.Minute // that a death may take
	guestTime = 30 * time.Second
)

// beside is a node that is attached to a manager in another process.
type beside struct {
	cfg     AttachConfig
	manager *other
	agents  *other
	guest   *other
	home    string
	node    *daemon.Node
	losses  chan *nats.Msg
	report  AttachReport
}

// Attach measures a node beside a manager.
func Attach(ctx context.Context, cfg AttachConfig) (r *AttachReport, err error) {
	dir, err := os.MkdirTemp("", "pb") // short, for the sockets' paths
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &beside{cfg: cfg, losses: make(chan *nats.Msg, 1<<16), report: AttachReport{Agents: cfg.Agents},
		home: filepath.Join(dir, "m")}
	b.say("a simulated manager, and %d agents that connect to it", cfg.Agents)
	home := b.home
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	n := strconv.Itoa(cfg.Agents)
	if b.manager, err = startOther(ManageArgs, home, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.manager.child.end()) }()
	if b.agents, err = startOther(PopulateArgs, b.manager.hello, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.agents.child.end()) }()
	if b.guest, err = startOther(GuestArgs, home, fmt.Sprintf("%03d", cfg.Agents)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.guest.child.end()) }()
	for active := 0; active < cfg.Agents && pause(ctx, 200*time.Millisecond); {
		v, err := b.manager.look()
		if err != nil {
			return nil, err
		}
		active = v.Active
	}
	b.say("another client alone, for %v", guestTime)
	alone, err := b.ask(ctx)
	if err != nil {
		return nil, err
	}
	b.report.AloneP50, b.report.AloneMax = alone.P50, alone.Max
	settings := config.Default()
	settings.Pulse.Link, settings.Pulse.Home, settings.Pulse.HTTP = "attach", home, ""
	settings.Pulse.StateDir, settings.NATS.Listen = filepath.Join(dir, "state"), "127.0.0.1:0"
	// The log is written as the daemon's is, but nobody reads it.
	if b.node, err = daemon.Open(ctx, &settings, "bench", slog.New(slog.NewJSONHandler(io.Discard, nil))); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = b.node.Run(run) })
	err = b.measure(ctx)
	stop()
	running.Wait()
	round(&b.report)
	return &b.report, errors.Join(err, failed)
}

func (b *beside) say(format string, args ...any) { fmt.Fprintf(b.cfg.Progress, format+"\n", args...) }

func (b *beside) measure(ctx context.Context) error {
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
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	b.report.Known = time.Since(began).Seconds()
	if err := b.everyday(ctx); err != nil {
		return err
	}
	b.say("%d agents are killed, and %d hang", killed, hung)
	if b.report.Killed, b.report.Closed, err = b.die(ctx, "kill", 1, killed); err != nil {
		return err
	}
	if b.report.Hung, _, err = b.die(ctx, "hang", 1+killed, hung); err != nil {
		return err
	}
	return b.crowd(ctx)
}

// everyday measures what it takes while nothing happens.
func (b *beside) everyday(ctx context.Context) error {
	b.say("everyday, for %v", b.cfg.For)
	if !pause(ctx, 10*time.Second) { // what the beginning left to do
		return ctx.Err()
	}
	from, err := b.look()
	if err != nil {
		return err
	}
	if !pause(ctx, b.cfg.For) {
		return ctx.Err()
	}
	to, err := b.look()
	if err != nil {
		return err
	}
	b.report.between(from, to)
	b.report.Inventory = b.node.Status().Link.Attach.Inventory
	b.report.Resident, err = resident()
	return err
}

// besideView is one look at both sides.
type besideView struct {
	at           time.Time
	ours, theirs time.Duration
	stats        managerView
}

func (b *beside) look() (v besideView, err error) {
	if v.stats, err = b.manager.look(); err != nil {
		return v, err
	}
	v.at = time.Now()
	if v.ours, err = processorTime(); err != nil {
		return v, err
	}
	v.theirs, err = processorTimeOf(b.manager.child.Process.Pid)
	return v, err
}

// die lets agents die one after the other. It returns the longest time until a
// subscriber of NATS knew it, and the longest until the manager had told Pulse that
// there is no connection to the agent: from then on reconnect_grace runs.
func (b *beside) die(ctx context.Context, how string, first, n int) (told, closed float64, err error) {
	for id := first; id < first+n; id++ {
		before := b.unconnected()
		began := time.Now()
		if _, err := b.agents.tell(fmt.Sprintf("%s %03d", how, id)); err != nil {
			return 0, 0, err
		}
		for how == "kill" && b.unconnected() == before && time.Since(began) < deathTime && pause(ctx, time.Millisecond) {
		}
		closed = max(closed, time.Since(began).Seconds())
		if err := b.lost(ctx, fmt.Sprintf("%03d", id)); err != nil {
			return 0, 0, fmt.Errorf("%s agent %03d: %w", how, id, err)
		}
		told = max(told, time.Since(began).Seconds())
	}
	return told, closed, nil
}

// unconnected is how often the manager has answered that it has no connection
// to an agent.
func (b *beside) unconnected() int64 { return b.node.Status().Link.Attach.Outcomes["not_connected"] }

func (b *beside) lost(ctx context.Context, id string) error {
	deadline := time.After(deathTime)
	for {
		select {
		case m := <-b.losses:
			var said event.StatusChangeMessage
			if err := json.Unmarshal(m.Data, &said); err != nil {
				return err
			}
			if c := said.StatusChange; c.AgentID == id && c.CurrentStatus == event.Disconnected {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("not known after %v", deathTime)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// crowd lets a twentieth of the agents hang, and asks for one that lives as the
// Wazuh API does.
func (b *beside) crowd(ctx context.Context) error {
	first, n := 1+killed+hung, b.cfg.Agents/20
	b.say("%d agents hang, and another client asks for one that lives", n)
	for id := first; id < first+n; id++ {
		if _, err := b.agents.tell(fmt.Sprintf("hang %03d", id)); err != nil {
			return err
		}
	}
	with, err := b.ask(ctx)
	if err != nil {
		return err
	}
	b.report.GuestP50, b.report.GuestP90, b.report.GuestMax = with.P50, with.P90, with.Max
	stats, err := b.manager.look()
	b.report.MostInFlight = int(stats.MostInFlight) - 1 // the other client's
	return err
}

// ask lets the other client ask for a while.
func (b *beside) ask(ctx context.Context) (v guestView, err error) {
	if _, err := b.guest.tell("begin"); err != nil {
		return v, err
	}
	if !pause(ctx, guestTime) {
		return v, ctx.Err()
	}
	line, err := b.guest.tell("end")
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(line), &v)
}
