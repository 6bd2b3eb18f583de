package lastwill

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

// Delay is the time after the last renewal when the server announces the loss. It is
// three heartbeats; the server rounds the beginning to a whole second.
const Delay = 30 * time.Second

// Will is the message that says that the node is lost.
type Will struct {
	Data   []byte
	Header map[string][]string
}

// Config is what a [Keeper] needs.
type Config struct {
	Node   string
	Domain jsdomain.Domain // of the server that keeps the will; "" for that of the connection

	// Answered is the number of the last loss of this node after which its return was
	// announced; 0 for none.
	Answered uint64
	// Return is called when the server has announced a later loss of this node, with its
	// number and when this process renewed the will last, the zero time for never. Until
	// [Keeper.Confirm] is called with the number, there is no will.
	Return func(number uint64, renewed time.Time)

	Delay time.Duration // 0 for [Delay]

	Log *slog.Logger
}

// timing has the waits that tests shorten.
type timing struct {
	delay    time.Duration
	answer   time.Duration // for one answer of the server
	retry    time.Duration // after a failure
	check    time.Duration // between two looks whether the server can keep a will by now
	withdraw time.Duration // for the end of the will when the node stops
}

var defaultTiming = timing{delay: Delay, answer: 5 * time.Second, retry: 2 * time.Second, check: time.Minute, withdraw: 2 * time.Second}

// Keeper keeps a node's last will.
type Keeper struct {
	cfg     Config
	timing  timing
	changed wake.Signal
	problem logonce.Condition // of the goroutine of Serve
	renewed time.Time         // when a will was stored last, or may have been; of the goroutine of Serve

	mu       sync.Mutex
	will     *Will  // nil: the node has none
	version  uint64 // of will
	spent    uint64 // the version up to which no will is stored: it, or one before, was announced
	answered uint64
	returned uint64 // the number that Return was called with; 0 for none that is not confirmed
}

// New returns a keeper without a will.
func New(cfg Config) *Keeper {
	t := defaultTiming
	t.delay = cmp.Or(cfg.Delay, t.delay)
	return newKeeper(cfg, t)
}

func newKeeper(cfg Config, t timing) *Keeper {
	return &Keeper{cfg: cfg, timing: t, changed: wake.NewSignal(), answered: cfg.Answered}
}

// Renew replaces the will, and has it stored on the server; nil withdraws it.
func (k *Keeper) Renew(w *Will) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w == nil && k.will == nil && k.version > 0 {
		return
	}
	k.will = w
	k.version++
	k.changed.Send()
}

// Confirm reports that the node's return after the loss with a number is announced.
func (k *Keeper) Confirm(number uint64) {
	k.mu.Lock()
	k.answered, k.returned = number, 0
	k.mu.Unlock()
	k.changed.Send()
}

// current returns the will to store now. There is none while a return is not announced.
func (k *Keeper) current() (w *Will, version, answered uint64, waits bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.will, k.version, k.answered, k.returned != 0 || k.version == 0 || k.will != nil && k.version <= k.spent
}

// Serve stores the will on one connection until that or ctx ends. When ctx ends, and
// withdraw returns true, it withdraws the will. The refusal is why the server did not
// accept a message to a subject.
func (k *Keeper) Serve(ctx context.Context, nc *nats.Conn, ended <-chan struct{}, refusal func(subject string) error, withdraw func() bool) {
	s := &session{Keeper: k, nc: nc, refusal: refusal}
	for {
		next := s.step(ctx)
		timer := time.NewTimer(next)
		select {
		case <-k.changed:
		case <-timer.C:
		case <-ended:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			if withdraw() {
				s.withdraw()
			}
			return
		}
		timer.Stop()
	}
}

// session is the work of a keeper on one connection.
type session struct {
	*Keeper
	nc      *nats.Conn
	refusal func(subject string) error

	checked time.Time // when the server was asked what it can do; zero before
	capable bool
	stored  uint64 // the version of the will that is stored; 0 for none
}

// step stores the will if it has changed, and returns for how long there is nothing to do
// but to wait for the next change.
func (s *session) step(ctx context.Context) time.Duration {
	if !s.capable && (s.checked.IsZero() || time.Since(s.checked) >= s.timing.check) {
		s.checked = time.Now()
		can, err := FindSupport(ctx, s.nc, s.cfg.Domain, s.cfg.Node, s.timing.answer)
		if ctx.Err() != nil || s.nc.IsClosed() {
			return s.timing.check
		}
		if what, hint := can.Problem(s.cfg.Node); err == nil && what != "" {
			err = errors.New(what + ": " + hint)
		}
		s.capable = err == nil
		s.logProblem(err)
	}
	if !s.capable {
		return s.timing.check
	}
	w, version, answered, waits := s.current()
	if waits || version == s.stored {
		return s.timing.check
	}
	sent := time.Now()
	err := s.store(ctx, w, answered, s.timing.answer)
	var later *laterLossError
	isLater := errors.As(err, &later)
	if w != nil && err != nil && !isLater && (s.nc.IsClosed() || errors.Is(err, context.DeadlineExceeded)) {
		s.renewed = sent // as far as is known: the answer may have been lost
	}
	if ctx.Err() != nil || s.nc.IsClosed() {
		return s.timing.check
	}
	if isLater {
		return s.handleLoss(later.number, version)
	}
	s.logProblem(err)
	if err != nil {
		return s.timing.retry
	}
	s.stored = version
	if w != nil {
		s.renewed = time.Now()
	}
	return s.timing.check
}

// handleLoss handles that the server has announced a loss of this node: its return is to
// be announced, too. A will that was announced is not stored again. A number of 0 means
// that the stream was made anew.
func (s *session) handleLoss(number, version uint64) time.Duration {
	if number == 0 {
		s.Confirm(0)
		return s.timing.check
	}
	s.mu.Lock()
	s.returned, s.spent = number, version
	s.mu.Unlock()
	s.cfg.Return(number, s.renewed)
	return s.timing.check
}

// withdraw withdraws the will of a node that stops.
func (s *session) withdraw() {
	if !s.capable {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.withdraw)
	defer cancel()
	_, _, answered, _ := s.current()
	err := s.store(ctx, nil, answered, s.timing.withdraw)
	var later *laterLossError
	if err != nil && !errors.As(err, &later) { // a loss is announced once: there is nothing to withdraw
		s.cfg.Log.Warn("the node's last will could not be withdrawn: the NATS server will announce its loss", "err", err)
	}
}

// logProblem logs why there is no will, once until that changes.
func (s *session) logProblem(err error) {
	if !s.problem.Set(err) {
		return
	}
	if err == nil {
		s.cfg.Log.Info("the NATS server keeps this node's last will, to announce its loss when no other node can")
		return
	}
	s.cfg.Log.Info("the NATS server will not announce a loss of this node: it does not keep its last will", "err", err)
}
