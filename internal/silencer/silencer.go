// Package silencer keeps the silences of a node, and sets in the detector which agents are
// silenced now. Silences come from the state directory, where they are kept over
// restarts, from the settings, and from people, who add and end them.
//
// [Silencer.Run] is one goroutine: it alone evaluates agents, and calls the detector. The
// other methods may be called concurrently with it and with each other;
// [Silencer.MarkAgent] is called by the detector and never waits.
//
// An agent is evaluated when something that selects it begins or ends, and when its
// address, its groups or its membership have changed; not otherwise. Time is that of the
// wall clock, at which the goroutine looks at least every [ClockPeriod].
package silencer

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

const (
	// maxOver is how many that are over are kept, the latest ones.
	maxOver = 1000
	// keepOver is for how long they are kept.
	keepOver = 7 * 24 * time.Hour
	// ClockPeriod is the longest until a clock that was set is noticed.
	ClockPeriod = 10 * time.Second
)

// Fleet is the detector.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	SetSilenced(changes []detector.Silenced)
}

// Change is what happened to a silence.
type Change string

const (
	Added   Change = "added"
	Ended   Change = "ended"   // by somebody
	Expired Change = "expired" // its time was over
	Began   Change = "began"   // one of the times of a weekly one
	Paused  Change = "paused"  // it is over, until the next
)

// Config configures a silencer.
type Config struct {
	Node     string
	Path     string // of the file
	Fleet    Fleet
	Settings []silence.Silence // of the settings
	Now      func() time.Time  // the wall clock

	// Record is called for each change, with the address of who made it, "" for nobody. It
	// must not wait. It is not called before Run.
	Record func(change Change, s *silence.Silence, peer string)
	// Postpone is called when the file could not be written, with what writes it.
	Postpone func(err error, write func() error)
	Log      *slog.Logger
}

// Silencer keeps silences. See [Open].
type Silencer struct {
	cfg   Config
	store store
	wake  wake.Signal

	mu       sync.Mutex
	kept     []*held // of people, in the order in which they were added; also those that are over
	settings []*held
	lastID   uint64
	refused  int             // entries of the file
	updated  time.Time       // when it was computed which silences hold
	due      time.Time       // when that is to be computed next
	changed  []*held         // began or ended, and not evaluated yet
	index    *silence.Index  // of those that hold
	started  bool            // Run was called
	early    []func()        // the records of changes before that
	waiters  []chan struct{} // are closed when all that has changed is evaluated

	watching atomic.Bool // whether an agent that changes may have to be evaluated
	silenced atomic.Int64
	marked   marks

	agents map[detector.AgentID]struct{} // that are silenced; Run's
}

// held is a silence, and whether it holds in a period.
type held struct {
	silence.Silence
	holds       bool
	since, next time.Time // the period; next is the zero time for ever
}

// Open reads the silences. A damaged file is refused: it is logged, counted and put
// aside, and no reason not to start.
func Open(cfg Config) *Silencer {
	s := &Silencer{cfg: cfg, store: store{path: cfg.Path}, wake: wake.NewSignal(), index: new(silence.Index), agents: make(map[detector.AgentID]struct{})}
	s.readFile()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setSettings(cfg.Settings)
	s.updateStates(s.now())
	s.watching.Store(true) // until the first evaluation
	return s
}

// Run silences agents until ctx ends.
func (s *Silencer) Run(ctx context.Context) {
	s.recordEarlyChanges()
	s.evaluateAgents(nil, true)
	for {
		wait := time.NewTimer(s.updateAndEvaluate())
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-s.wake:
		case <-wait.C:
		}
		wait.Stop()
	}
}

// updateAndEvaluate does what is due, and returns how long there is nothing to do.
func (s *Silencer) updateAndEvaluate() time.Duration {
	now := s.now()
	s.mu.Lock()
	if now.Before(s.updated) || !now.Before(s.due) {
		s.updateStates(now)
	}
	due := s.due
	changed, waiters := s.changed, s.waiters
	s.changed, s.waiters = nil, nil
	s.mu.Unlock()
	ids, all := s.marked.takeMarks()
	if len(changed) > 0 {
		s.evaluateSelected(changed)
	}
	if all {
		s.evaluateAgents(nil, true)
	} else if len(ids) > 0 {
		s.evaluateAgents(ids, false)
	}
	for _, applied := range waiters {
		close(applied)
	}
	s.mu.Lock()
	s.watching.Store(!s.index.IsEmpty() || len(s.agents) > 0)
	s.mu.Unlock()
	return max(min(due.Sub(now), ClockPeriod), 0)
}

// nextID returns the id of a new silence.
func (s *Silencer) nextID() string {
	s.lastID++
	return strconv.FormatUint(s.lastID, 10)
}

// now returns the time of the wall clock, which may have been set back.
func (s *Silencer) now() time.Time { return s.cfg.Now().Round(0) }

// Figures returns the numbers of the present.
func (s *Silencer) Figures() silence.Figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := silence.Figures{Agents: int(s.silenced.Load()), Refused: s.refused}
	for _, list := range [][]*held{s.kept, s.settings} {
		for _, h := range list {
			switch {
			case h.holds:
				f.Active++
			case !h.next.IsZero():
				f.Waiting++
			}
		}
	}
	return f
}
