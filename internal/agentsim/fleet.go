package agentsim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

var (
	// ErrUnknownAgent is returned for an ID that no agent of the fleet has.
	ErrUnknownAgent = errors.New("no such agent in the fleet")
	errRanBefore    = errors.New("a fleet runs only once")
)

// Fleet is a set of simulated agents. See [New].
type Fleet struct {
	cfg    Config
	stream bool // TCP: messages carry their length
	agents []*agent
	byID   map[string]*agent
	byAddr map[netip.Addr]*agent // of agents with an address of their own
	log    *slog.Logger
	start  time.Time // the fleet's clock counts from here
	dial   func(context.Context) (net.Conn, error)
	dials  chan struct{} // holds one token per attempt in flight
	codecs sync.Pool     // of *codec

	counters counters
	settled  chan struct{} // closed when all agents have been connected at once

	ran    atomic.Bool
	ctx    context.Context // of the run; set before any agent starts
	cancel context.CancelFunc
}

// New returns a fleet with one agent per key. It starts nothing.
func New(cfg Config) (*Fleet, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("simulate agents: %w", err)
	}
	f := &Fleet{
		cfg: cfg, stream: cfg.Network == "tcp", log: cfg.Log, start: time.Now(),
		byID: make(map[string]*agent, len(cfg.Keys)), byAddr: make(map[netip.Addr]*agent),
		dials: make(chan struct{}, cfg.MaxDials), settled: make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.codecs.New = func() any { return new(codec) }
	f.dial = func(ctx context.Context) (net.Conn, error) { return f.dialFrom(ctx, nil) }
	for i := range cfg.Keys {
		a := newAgent(f, &cfg.Keys[i])
		if f.byID[a.id] != nil {
			return nil, fmt.Errorf("simulate agents: two keys for agent %s", a.id)
		}
		if cfg.Spread {
			a.from = f.hostAddr(i)
			f.byAddr[netip.MustParseAddrPort(a.from.String()).Addr()] = a
		}
		f.byID[a.id] = a
		f.agents = append(f.agents, a)
	}
	return f, nil
}

// Run starts all agents, at once or over Config.Ramp, and runs them until ctx
// ends or Shutdown is called. Then their connections close, after Shutdown
// with a shutdown message, and Run returns nil when every goroutine has ended.
// A fleet runs only once.
func (f *Fleet) Run(ctx context.Context) error {
	if !f.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("simulate agents: %w", errRanBefore)
	}
	f.counters.began.Store(int64(f.elapsed()))
	stop := context.AfterFunc(ctx, func() { f.endRun(false) })
	defer stop()
	var alive sync.WaitGroup
	for i, a := range f.agents {
		alive.Go(func() {
			if wait := f.cfg.Ramp * time.Duration(i) / time.Duration(len(f.agents)); wait > 0 {
				a.sleepUnlessEnded(0, wait)
			}
			a.runAgent()
		})
	}
	alive.Wait()
	return nil
}

// Shutdown stops all agents in order: each that is connected sends a shutdown
// message, and Run returns. It does not wait for that.
func (f *Fleet) Shutdown() { f.endRun(true) }

func (f *Fleet) endRun(goodbye bool) {
	f.changeAll(func(was lifecycle) lifecycle { return was.withEnd(goodbye) })
	f.cancel() // after the changes, so that an agent whose dial this ends finds the reason
}

// Settled returns a channel that is closed when all agents are connected and
// acknowledged at the same time for the first time.
func (f *Fleet) Settled() <-chan struct{} { return f.settled }

// Fail makes an agent fail, within moments. Failures add up: the network of a
// hung agent can be cut and its process killed, which its manager notices when
// the network is back. For an agent whose process has ended, only Cut
// and PowerOff have an effect.
func (f *Fleet) Fail(id string, how Failure) error {
	if how < Shutdown || how > PowerOff {
		return fmt.Errorf("agent %s: unknown %v", id, how)
	}
	return f.changeAgent(id, func(was lifecycle) lifecycle { return was.withFailure(how) })
}

// Revive undoes every failure of an agent: a stopped process starts again, a
// hung one goes on with what waits in its socket, its network is back.
func (f *Fleet) Revive(id string) error { return f.changeAgent(id, lifecycle.withRecovery) }

// SetCounter gives an agent another counter, from which its next message goes on: a
// lower one is that of a host that was installed anew, or restored from a backup.
func (f *Fleet) SetCounter(id string, to secmsg.Counter) error {
	a := f.byID[id]
	if a == nil {
		return fmt.Errorf("agent %s: %w", id, ErrUnknownAgent)
	}
	a.nextCounter.Store(&to)
	return nil
}

// HostAnswers reports whether the host at an address would answer a ping: it has
// power and its network. Only a host of an agent with an address of its own
// (Config.Spread) is known.
func (f *Fleet) HostAnswers(addr netip.Addr) (answers, known bool) {
	a := f.byAddr[addr]
	if a == nil {
		return false, false
	}
	now := a.currentLifecycle()
	return !now.cut && !now.off, true
}

// CutAll cuts the network of all agents.
func (f *Fleet) CutAll() { f.changeAll(func(was lifecycle) lifecycle { return was.withFailure(Cut) }) }

// HealAll undoes every cut, and no other failure.
func (f *Fleet) HealAll() { f.changeAll(lifecycle.withNetwork) }

func (f *Fleet) changeAgent(id string, change func(lifecycle) lifecycle) error {
	a := f.byID[id]
	if a == nil {
		return fmt.Errorf("agent %s: %w", id, ErrUnknownAgent)
	}
	a.changeLifecycle(change)
	return nil
}

func (f *Fleet) changeAll(change func(lifecycle) lifecycle) {
	for _, a := range f.agents {
		a.changeLifecycle(change)
	}
}

// elapsed returns the time of the fleet's clock: monotonic, eight bytes where
// a time.Time has 24.
func (f *Fleet) elapsed() time.Duration { return time.Since(f.start) }

// wallTime returns the wall-clock time of an instant of the fleet's clock.
func (f *Fleet) wallTime(instant time.Duration) time.Time { return f.start.Add(instant) }
