package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	for active := 0; active < cfg.Agents && pause(ctx, 200*time.Millisecond); {
		v, err := b.manager.look()
		if err != nil {
			return nil, err
		}
		active = v.Active
	}
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
	nc, err := nats.Connect(b.node.NATSURL(), nats.Name("pulse bench"))
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
	if b.report.Killed, err = b.die(ctx, "kill", 1, killed); err != nil {
		return err
	}
	if b.report.Hung, err = b.die(ctx, "hang", 1+killed, hung); err != nil {
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

// die lets agents die one after the other, and returns the longest time until a
// subscriber of NATS knew it.
func (b *beside) die(ctx context.Context, how string, first, n int) (longest float64, err error) {
	for id := first; id < first+n; id++ {
		began := time.Now()
		if _, err := b.agents.tell(fmt.Sprintf("%s %03d", how, id)); err != nil {
			return 0, err
		}
		if err := b.lost(ctx, fmt.Sprintf("%03d", id)); err != nil {
			return 0, fmt.Errorf("%s agent %03d: %w", how, id, err)
		}
		longest = max(longest, time.Since(began).Seconds())
	}
	return longest, nil
}

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
	var guests []time.Duration
	for began := time.Now(); time.Since(began) < guestTime; {
		asked := time.Now()
		if err := askAsGuest(b.home, fmt.Sprintf("%03d agent getstate", b.cfg.Agents)); err != nil {
			return fmt.Errorf("ask remoted as another client: %w", err)
		}
		guests = append(guests, time.Since(asked))
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	slices.Sort(guests)
	ms := func(share int) float64 { return guests[(len(guests)-1)*share/100].Seconds() * 1000 }
	b.report.GuestP50, b.report.GuestP90, b.report.GuestMax = ms(50), ms(90), ms(100)
	stats, err := b.manager.look()
	b.report.MostInFlight = int(stats.MostInFlight) - 1 // the other client's
	return err
}

func askAsGuest(home, text string) error {
	conn, err := net.Dial("unix", filepath.Join(home, "queue/sockets/remote"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(guestTime))
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1024))
	return err
}
