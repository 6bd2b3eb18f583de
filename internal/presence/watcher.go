// Package presence detects other nodes with this node's name, and keeps all but one of
// them from publishing.
//
// Every node of a name publishes a [Statement] on pulse.NODE.presence at the XDR's NATS
// server, when it connects, every few seconds, and at once when it receives one of a node
// that it does not know. It publishes nothing else before it has asked for others: a
// consumer that has seen one message of a later epoch refuses all of the earlier one.
//
// Of two nodes of a name, the one that publishes already goes on; of two that both do, or
// both do not, the one with the lower epoch, which is the older, and at last the one with
// the lower instance. The other waits until it has had no statement of the first for a
// while, or one that says that it is leaving.
//
// Statements are not verified, since another node of the name may have other keys:
// whoever may publish on a node's own presence subject can keep it from publishing.
//
// [Watcher.Admit] starts one goroutine for each session, which ends with it. All methods
// of a [Watcher] may be called concurrently.
package presence

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/remote"
	"golang.org/x/time/rate"
)

// Config says which node it is that looks for others of its name.
type Config struct {
	Node      string // one NATS token
	Epoch     uint64
	StartedAt time.Time
	Host      string // its host's name, which other nodes log and show
	// RaiseEpoch returns an epoch above one that another node has already, and stores
	// it; nil for none. It is called before FixEpoch only.
	RaiseEpoch func(above uint64) (uint64, error)

	ReconnectDelay time.Duration // of the remote: a node does not expire while it may be reconnecting
	Log            *slog.Logger  // nil for slog.Default()
}

// State is what is known of other nodes of the name.
type State struct {
	Others  int       // how many are running now
	Held    bool      // another node precedes this one, which publishes nothing
	First   Statement // of the one that precedes the others; zero without any
	Since   time.Time // when the first of those running now was noticed; zero without any
	Unknown error     // why nothing can be known of other nodes; nil where it can
}

// timing holds the waits that tests shorten.
type timing struct {
	period time.Duration // between two statements of a node
	gone   time.Duration // a node without a statement for this long is gone
	alone  time.Duration // for statements, where the server has no other subscriber: for a node that starts at this moment
	settle time.Duration // for statements, where the server has another subscriber
	gap    time.Duration // the least between two statements, however many requests there are
	answer time.Duration // for a round trip
}

var defaultTiming = timing{period: 2 * time.Second, gone: 10 * time.Second, alone: 500 * time.Millisecond, settle: 2 * time.Second,
	gap: 100 * time.Millisecond, answer: 5 * time.Second}

// Watcher looks for other nodes of the name. See [New].
type Watcher struct {
	cfg      Config
	log      *slog.Logger
	timing   timing
	instance string
	logs     *rate.Limiter
	closing  chan struct{} // closed by Close
	settled  chan struct{} // closed when it is known first whether the node may publish
	running  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	fixed    bool // messages have the epoch
	others   others
	since    time.Time // when there was one first; zero without any
	sessions int       // those on which this node publishes
	held     bool
	unknown  error
	changed  chan struct{} // closed when held, unknown, or whether there are sessions changes
}

// New returns a watcher without a session.
func New(cfg Config) *Watcher {
	t := defaultTiming
	t.gone = max(t.gone, 2*cfg.ReconnectDelay+2*time.Second)
	return newWatcher(cfg, t)
}

func newWatcher(cfg Config, t timing) *Watcher {
	return &Watcher{cfg: cfg, log: cmp.Or(cfg.Log, slog.Default()), timing: t, instance: rand.Text(), closing: make(chan struct{}), settled: make(chan struct{}), changed: make(chan struct{}),
		logs: rate.NewLimiter(rate.Every(10*time.Second), 10)}
}

// State returns the present state.
func (w *Watcher) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{Others: len(w.others), Held: w.held, Since: w.since, Unknown: w.unknown}
	if first := w.others.findFirst(); first != nil {
		s.First = first.Statement
	}
	return s
}

// Admit waits until the node may publish on a session, or ctx or the session ends. It is
// for remote.Config. From then on the session ends with [remote.ErrWithdrawn] as soon as
// another node precedes this one.
func (w *Watcher) Admit(ctx context.Context, s *remote.Session) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return context.Canceled
	}
	admitted := make(chan error, 1)
	w.running.Go(func() { (&sessionWatch{Watcher: w, session: s, result: admitted}).run() })
	w.mu.Unlock()
	select {
	case err := <-admitted:
		return err
	case <-s.Ended():
		return s.Reason()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Settled is closed when it is known for the first time whether the node may publish,
// or that nothing can be known.
func (w *Watcher) Settled() <-chan struct{} { return w.settled }

// FixEpoch returns the epoch for the node's messages, which is at least least. Until it
// is called, the epoch is raised above that of another node that precedes this one: else
// consumers would take the messages of one of the two for repetitions of the other's.
func (w *Watcher) FixEpoch(least uint64) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fixed = true
	w.cfg.Epoch = max(w.cfg.Epoch, least)
	return w.cfg.Epoch
}

// markSettled closes settled. The caller holds w.mu.
func (w *Watcher) markSettled() {
	select {
	case <-w.settled:
	default:
		close(w.settled)
	}
}

// raiseEpoch raises the epoch above that of a node that precedes this one, and reports
// whether it did. The caller holds w.mu.
func (w *Watcher) raiseEpoch(s *Statement, now time.Time) bool {
	me := w.newStatement()
	if w.fixed || w.cfg.RaiseEpoch == nil || s.Leaving || s.Epoch < me.Epoch || !s.precedes(&me) ||
		s.Epoch > uint64(now.Add(aheadMax).Unix()) {
		return false
	}
	epoch, err := w.cfg.RaiseEpoch(s.Epoch)
	if err != nil {
		w.log.Error("another node of this name has this node's epoch, and no other one can be stored", "epoch", me.Epoch, "err", err)
		return false
	}
	w.cfg.Epoch = epoch
	return true
}

// aheadMax is how far the clock of another node may be ahead for its epoch to count.
const aheadMax = 2 * time.Minute

// Close publishes that the node is leaving, so that another node of the name need not
// wait. Nothing may be published any more, and the remote's sessions must still be open.
func (w *Watcher) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.closing)
	}
	w.mu.Unlock()
	w.running.Wait()
}

// newStatement returns this node's present statement. The caller holds w.mu.
func (w *Watcher) newStatement() Statement {
	return Statement{Node: w.cfg.Node, Instance: w.instance, Epoch: w.cfg.Epoch, StartedAt: w.cfg.StartedAt.Unix(), Host: w.cfg.Host,
		Publishing: w.sessions > 0}
}

func (w *Watcher) encodeStatement(change func(*Statement)) []byte {
	w.mu.Lock()
	s := w.newStatement()
	w.mu.Unlock()
	if change != nil {
		change(&s)
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic("presence: a statement that is no JSON: " + err.Error()) // plain text and numbers
	}
	return text
}

// recordStatement records a received message, and reports whether an answer is due.
func (w *Watcher) recordStatement(data []byte, now time.Time) bool {
	if string(data) == requestText {
		return true
	}
	s, err := parseStatement(data, w.cfg.Node)
	if err != nil {
		if w.logs.Allow() {
			w.log.Warn("a message for nodes of this name is invalid", "subject", Subject(w.cfg.Node), "err", err)
		}
		return false
	}
	if s.Instance == w.instance {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	isNew := w.others.recordStatement(s, now)
	raised := w.raiseEpoch(&s, now)
	return isNew || raised || s.Question
}

// decideHeld reports whether another node precedes this one now.
func (w *Watcher) decideHeld(now time.Time) (held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.others.removeExpired(now, w.timing.gone)
	me := w.newStatement()
	first := w.others.findFirst()
	before := w.held
	if w.held = first != nil && first.precedes(&me); w.held {
		w.markSettled()
	}
	if w.held != before {
		w.signalChange()
	}
	switch {
	case first == nil:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	}
	return w.held
}
