package agentsim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrUnknownAgent says that the fleet has no agent with the given ID.
	ErrUnknownAgent = errors.New("no such agent in the fleet")
	errRanBefore    = errors.New("a fleet runs only once")
)

// Fleet is a set of simulated agents. Make one with [New].
type Fleet struct {
	cfg    Config
	stream bool // TCP: messages carry their length
	agents []*agent
	byID   map[string]*agent
	log    *slog.Logger
	start  time.Time // an agent's clock counts from here
	dial   func(context.Context) (net.Conn, error)
	dials  chan struct{} // holds one token per attempt in flight
	codecs sync.Pool     // of *codec

	tally   tally
	settled chan struct{} // closed when all agents have been connected at once

	ran    atomic.Bool
	ctx    context.Context // of the run; set before any agent starts
	cancel context.CancelFunc
}

// New makes a fleet of one agent per key. Nothing happens before Run.
func New(cfg Config) (*Fleet, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("simulate agents: %w", err)
	}
	f := &Fleet{
		cfg: cfg, stream: cfg.Network == "tcp", log: cfg.Log, start: time.Now(),
		byID:  make(map[string]*agent, len(cfg.Keys)),
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
		}
		f.byID[a.id] = a
		f.agents = append(f.agents, a)
	}
	return f, nil
}

// Run starts all agents, at once or over Config.Ramp, and keeps them alive until
// ctx ends or Shutdown is called. Then their connections close without a word (or
// with one, after Shutdown), and Run returns nil when every goroutine has ended. A
// fleet runs only once.
func (f *Fleet) Run(ctx context.Context) error {
	if !f.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("simulate agents: %w", errRanBefore)
	}
	f.tally.began.Store(int64(f.now()))
	stop := context.AfterFunc(ctx, func() { f.end(false) })
	defer stop()
	var alive sync.WaitGroup
	for i, a := range f.agents {
		alive.Go(func() {
			if wait := f.cfg.Ramp * time.Duration(i) / time.Duration(len(f.agents)); wait > 0 {
				a.pause(0, wait)
			}
			a.exist()
		})
	}
	alive.Wait()
	return nil
}

// Shutdown stops the whole fleet on purpose: each connected agent tells its
// manager so, and Run returns. It does not wait for that.
func (f *Fleet) Shutdown() { f.end(true) }

func (f *Fleet) end(goodbye bool) {
	f.orderAll(func(was fate) fate { return was.end(goodbye) })
	f.cancel() // after the orders, so that an agent whose dial this ends knows why
}

// Settled is closed when all agents have been connected and acknowledged at the
// same moment for the first time.
func (f *Fleet) Settled() <-chan struct{} { return f.settled }

// Die lets an agent die, within moments. Deaths add up: a hung agent can be cut
// off and then killed, which its manager learns when the network heals. To an
// agent whose process has ended, only Cut does anything.
func (f *Fleet) Die(id string, how Death) error {
	if how < Shutdown || how > Cut {
		return fmt.Errorf("agent %s: unknown %v", id, how)
	}
	return f.order(id, func(was fate) fate { return was.die(how) })
}

// Revive undoes every death of an agent: a stopped process starts again, a hung
// one goes on with what waits in its socket, its network heals.
func (f *Fleet) Revive(id string) error { return f.order(id, fate.revive) }

// CutAll parts the whole fleet from its manager.
func (f *Fleet) CutAll() { f.orderAll(func(was fate) fate { return was.die(Cut) }) }

// HealAll undoes every cut, and no other death.
func (f *Fleet) HealAll() { f.orderAll(fate.heal) }

func (f *Fleet) order(id string, change func(fate) fate) error {
	a := f.byID[id]
	if a == nil {
		return fmt.Errorf("agent %s: %w", id, ErrUnknownAgent)
	}
	a.order(change)
	return nil
}

func (f *Fleet) orderAll(change func(fate) fate) {
	for _, a := range f.agents {
		a.order(change)
	}
}

// now is the fleet's clock: monotonic, eight bytes where a time.Time has 24.
func (f *Fleet) now() time.Duration { return time.Since(f.start) }

// at is the wall clock's time for an instant of the fleet's clock.
func (f *Fleet) at(instant time.Duration) time.Time { return f.start.Add(instant) }
