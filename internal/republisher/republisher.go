// Package republisher publishes the status changes and alerts of the outbox once more, as
// events of OCSF, for platforms that take nothing else.
//
// It follows the outbox's STATUS stream from a position on disk, which moves only when a
// stream of the platform's NATS server has acknowledged every event of what was read so
// far: a crash loses nothing. What is sent twice has the same Nats-Msg-Id, by which the
// stream drops it. The events of one agent are stored in their order: of each subject one is
// under way. Without a stream that takes them, all wait.
//
// [Open] starts one goroutine; [Republisher.Close] ends it. All methods may be called
// concurrently.
package republisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// Config is what a republisher reads, and where its events go.
type Config struct {
	Outbox  *outbox.Outbox // whose STATUS stream it follows
	Remote  *remote.Remote // where the events go
	Subject string         // of the events: a prefix, see [Subject]
	Node    string         // this node
	KeyFile string         // the secret of the events' IDs; it is made if it is not there

	Open func(message []byte) ([]byte, error)                                    // reads a message of the outbox; nil: it is in the clear
	Seal func(value []byte) (data []byte, header map[string][]string, err error) // encodes an event as it is published; nil: the event itself

	Log *slog.Logger // nil for slog.Default()
}

// Republisher publishes events. See [Open].
type Republisher struct {
	cfg    Config
	log    *slog.Logger
	timing timing
	reader *outbox.Reader
	ids    idSigner

	problem   logonce.Condition
	published atomic.Uint64
	failures  atomic.Uint64
	unread    atomic.Uint64
	state     atomic.Pointer[waitState]

	stop    context.CancelFunc
	running sync.WaitGroup
}

// waitState is why events wait, and since when.
type waitState struct {
	problem string
	since   time.Time
}

// timing holds the waits that tests shorten.
type timing struct {
	answer time.Duration // for the acknowledgement of an event
	retry  time.Duration // after a failure
}

var defaultTiming = timing{answer: 5 * time.Second, retry: 2 * time.Second}

// batchMax is how many messages are read, and their events stored, before the position moves.
const batchMax = 1000

// Open starts to publish. At first, without a position on disk, it begins with what is
// published from then on. That no stream takes the events is no error.
func Open(ctx context.Context, cfg Config) (*Republisher, error) {
	return open(ctx, cfg, defaultTiming)
}

func open(ctx context.Context, cfg Config, t timing) (*Republisher, error) {
	r := &Republisher{cfg: cfg, log: cmp.Or(cfg.Log, slog.Default()).With("subject", cfg.Subject), timing: t}
	r.state.Store(new(waitState))
	var err error
	if r.ids, err = openIDSigner(cfg.KeyFile); err != nil {
		r.log.Warn("the IDs of OCSF events are made with another secret: what is sent again may be stored twice", "err", err)
	}
	r.reader, err = cfg.Outbox.Reader(ctx, outbox.ReaderConfig{Name: "ocsf", Class: outbox.Status, FromEnd: true, Keep: true})
	if err != nil {
		return nil, fmt.Errorf("publish OCSF events: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { r.run(run) })
	return r, nil
}

// Close ends it within a moment. It must be called before Close of the outbox and the remote.
func (r *Republisher) Close() error {
	r.stop()
	r.running.Wait()
	if err := r.reader.Close(); err != nil {
		return fmt.Errorf("close what publishes OCSF events: %w", err)
	}
	return nil
}

func (r *Republisher) run(ctx context.Context) {
	for ctx.Err() == nil {
		batch, err := r.reader.Next(ctx, batchMax)
		if err != nil {
			return // of ctx
		}
		r.publishBatch(ctx, r.makeEvents(batch))
		if ctx.Err() == nil {
			r.reader.Confirm(batch[len(batch)-1].Seq)
		}
	}
}

// publishBatch returns when all events are stored, or ctx has ended.
func (r *Republisher) publishBatch(ctx context.Context, events []outgoing) {
	for len(events) > 0 {
		session, err := r.cfg.Remote.Session(ctx)
		if err != nil {
			return // of ctx
		}
		events, err = r.publishOn(ctx, session, events)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		r.failures.Add(1)
		wait := r.timing.retry
		if session.Reason() != nil || session.Conn.IsClosed() { // which is logged by its owner
			wait = min(wait, 100*time.Millisecond)
		} else {
			r.setProblem(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	r.setProblem(nil)
}

// publishOn publishes events on one session, round by round, until something fails. It
// returns those that are not stored.
func (r *Republisher) publishOn(ctx context.Context, session *remote.Session, events []outgoing) (left []outgoing, err error) {
	s, err := newSender(session, r.timing.answer)
	if err != nil {
		return events, err
	}
	defer s.close()
	for len(events) > 0 && err == nil {
		before := len(events)
		events, err = s.sendRound(ctx, events)
		r.published.Add(uint64(before - len(events)))
	}
	return events, err
}

// setProblem records why events wait; nil if they do not.
func (r *Republisher) setProblem(err error) {
	was := r.state.Load()
	switch {
	case err == nil && was.problem != "":
		r.state.Store(new(waitState))
	case err != nil && was.problem != err.Error():
		since := was.since
		if since.IsZero() {
			since = time.Now()
		}
		r.state.Store(&waitState{err.Error(), since})
	}
	what := err
	if errors.Is(err, errNoStream) {
		what = errNoStream
	}
	if !r.problem.Set(what) {
		return
	}
	if err == nil {
		r.log.Info("OCSF events are published again")
		return
	}
	r.log.Warn("OCSF events cannot be published: they wait, and it is tried again", "err", err)
}

// Stats are the counts of a republisher since Open.
type Stats struct {
	Published  uint64    `json:"published"`  // events that the server has stored
	Waiting    uint64    `json:"waiting"`    // messages whose events are not all stored yet
	Failures   uint64    `json:"failures"`   // after which it was tried again
	Unreadable uint64    `json:"unreadable"` // messages that could not be parsed
	Problem    string    `json:"problem,omitempty"`
	Since      time.Time `json:"since,omitzero"` // of the problem
}

// Stats returns the counts so far. It costs nothing.
func (r *Republisher) Stats() Stats {
	at := r.state.Load()
	return Stats{r.published.Load(), r.reader.CountWaiting(), r.failures.Load(), r.unread.Load(), at.problem, at.since}
}
