package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// Config says what a roster is made from, and where it is kept.
type Config struct {
	Outbox *outbox.Outbox // whose STATUS stream it follows
	Remote *remote.Remote // where the bucket is; nil for the outbox's own server
	Prefix event.Prefix   // of the messages
	Dir    string         // for the file roster.json

	Open func(message []byte) ([]byte, error)                                    // reads a message of the outbox; nil: it is in the clear
	Seal func(value []byte) (data []byte, header map[string][]string, err error) // makes of a value what is kept; nil: itself
	Form string                                                                  // tells Seal's from another's: with another, all is written anew

	// Node is this node, and Latest the epoch and the sequence of its last message: a value
	// in its name that is later is not its own. Nil for not known.
	Node   string
	Latest func() (epoch, sequence uint64)

	Log *slog.Logger // nil for slog.Default()
}

// Roster keeps the bucket up to date. See [Open].
type Roster struct {
	cfg    Config
	log    *slog.Logger
	timing timing
	reader *outbox.Reader
	inside *nats.Conn // with the outbox's own server; nil with a remote
	mark   mark       // what we know of the bucket
	file   string

	trouble logonce.Condition
	unsaved bool          // the mark, since the disk is full
	exposed bool          // it was said that the bucket can be wiped
	puts    atomic.Uint64 // writes that are acknowledged, and not in the mark yet
	added   atomic.Uint64 // those of them to keys that were not there
	kept    atomic.Bool
	stats   counters

	stop    context.CancelFunc
	running sync.WaitGroup
}

// timing holds the waits that tests shorten.
type timing struct {
	answer time.Duration // for one answer of the server
	retry  time.Duration // after a failure
	look   time.Duration // between two looks at whether the bucket is still the same
}

var defaultTiming = timing{answer: 5 * time.Second, retry: 10 * time.Second, look: time.Minute}

// batchMax is how many messages are read, and their agents written, before the
// position moves.
const batchMax = 4000

// Open starts to keep the roster. That there is no bucket is no error.
func Open(ctx context.Context, cfg Config) (*Roster, error) { return open(ctx, cfg, defaultTiming) }

func open(ctx context.Context, cfg Config, t timing) (*Roster, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	r := &Roster{cfg: cfg, log: cfg.Log.With("bucket", event.AgentsBucket), timing: t, file: filepath.Join(cfg.Dir, "roster.json")}
	r.mark = loadMark(r.file, r.log)
	var err error
	r.reader, err = cfg.Outbox.Reader(ctx, outbox.ReaderConfig{Name: "roster", Class: outbox.Status,
		Filter: cfg.Prefix.StatusChanges(), Current: true})
	if err != nil {
		return nil, fmt.Errorf("open the roster: %w", err)
	}
	if cfg.Remote == nil {
		if r.inside, err = cfg.Outbox.Rostering(); err != nil {
			return nil, errors.Join(fmt.Errorf("open the roster: %w", err), r.reader.Close())
		}
	}
	run, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { r.run(run) })
	return r, nil
}

// Close ends it within a moment. It comes before that of the outbox and the remote.
func (r *Roster) Close() error {
	r.stop()
	r.running.Wait()
	if r.inside != nil {
		r.inside.Close()
	}
	if err := r.reader.Close(); err != nil {
		return fmt.Errorf("close the roster: %w", err)
	}
	return nil
}

func (r *Roster) run(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := r.connect(ctx)
		if err != nil {
			return // of ctx
		}
		err = r.keep(ctx, c)
		r.kept.Store(false)
		r.stats.failures.Add(1)
		if ctx.Err() != nil {
			return
		}
		wait := r.timing.retry
		if c.IsClosed() { // of that others speak
			wait = min(wait, 100*time.Millisecond)
		} else {
			r.complain(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// connection is one with the server that has the bucket.
type connection struct {
	*nats.Conn
	refusal func(subject string) error // why a message to it was not taken, if it was not
}

func (r *Roster) connect(ctx context.Context) (*connection, error) {
	if r.cfg.Remote == nil {
		return &connection{r.inside, func(string) error { return nil }}, ctx.Err()
	}
	session, err := r.cfg.Remote.Session(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{session.Conn, session.TakeRefusal}, nil
}

// keep keeps the roster on one connection until something fails.
func (r *Roster) keep(ctx context.Context, c *connection) error {
	b, err := bind(ctx, c, r.timing.answer)
	if err != nil {
		return err
	}
	if err := r.begin(ctx, b); err != nil {
		return err
	}
	r.kept.Store(!r.trouble.Failed()) // else writing has to show it
	for looked := time.Now(); ; {
		batch, err := r.next(ctx, looked.Add(r.timing.look))
		if err != nil {
			return err
		}
		if err := r.take(ctx, b, batch); err != nil {
			return err
		}
		r.wellAgain()
		if time.Since(looked) >= r.timing.look {
			if err := r.look(ctx, b); err != nil {
				return err
			}
			looked = time.Now()
		}
	}
}

// begin goes on behind what is in the bucket, or all over if it is another one
// or has lost something.
func (r *Roster) begin(ctx context.Context, b *bucket) error {
	same, err := b.has(ctx, r.mark)
	same = same && r.mark.Form == r.form()
	if err != nil {
		return err
	}
	if same {
		r.reader.Rewind()
		return nil
	}
	r.log.Info("the roster of agents is written anew, from their present states")
	r.mark = mark{Created: b.created, Form: r.form()}
	return r.startAgain(b)
}

// startAgain reads the agents' present states from the beginning, and writes those
// that are not in the bucket.
func (r *Roster) startAgain(b *bucket) error {
	if err := r.reader.Anew(); err != nil {
		return err
	}
	r.puts.Store(0)
	r.added.Store(0)
	m := r.mark
	m.contents = b.holds
	return r.remember(m)
}

// expected is what the bucket holds if nobody else has written to it or removed from it.
func (r *Roster) expected() contents {
	return contents{r.mark.LastSeq + r.puts.Load(), r.mark.Messages + r.added.Load()}
}

// look finds out whether somebody else has changed the bucket, by how much it holds,
// and if so compares each agent's value with what it has to be. No write is under way.
func (r *Roster) look(ctx context.Context, b *bucket) error {
	if err := b.look(ctx); err != nil {
		return err
	}
	if err := b.protect(ctx); err != nil && !r.exposed {
		r.exposed = true
		r.log.Warn("the bucket allows roll-ups: any node may wipe it; an administrator can forbid them", "err", err)
	}
	want := r.expected()
	if b.holds == want {
		return nil
	}
	if b.holds.Messages < want.Messages {
		r.log.Warn("states of agents are gone from the bucket: somebody has removed them, and they are written again", "missing", want.Messages-b.holds.Messages)
	}
	return r.startAgain(b)
}

// next waits for messages until the time comes to look at the bucket.
func (r *Roster) next(ctx context.Context, until time.Time) ([]outbox.Stored, error) {
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	batch, err := r.reader.Next(waiting, batchMax)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return batch, err
}

// take brings the bucket up to the batch, and then moves the position.
func (r *Roster) take(ctx context.Context, b *bucket, batch []outbox.Stored) error {
	if len(batch) == 0 {
		return nil
	}
	deleted := r.stats.deleted.Load()
	last, err := r.write(ctx, b, r.latest(batch))
	if n := r.stats.deleted.Load() - deleted; n > 0 {
		r.log.Warn("states of agents were deleted from the bucket by somebody else, and are written again", "agents", n)
	}
	if err != nil {
		return err
	}
	if last.Revision > 0 {
		if last.Revision <= r.mark.Revision {
			return errAnother
		}
		m := r.mark
		m.Agent, m.Revision, m.contents = last.Agent, last.Revision, r.expected()
		r.puts.Store(0)
		r.added.Store(0)
		if err := r.remember(m); err != nil {
			return err
		}
	}
	r.reader.Confirm(batch[len(batch)-1].Seq)
	return nil
}

// remember keeps the mark. On a full disk it is in memory only: after a crash, some
// agents are looked at again.
func (r *Roster) remember(m mark) error {
	err := m.save(r.file)
	full := statedir.IsFull(err)
	switch {
	case full && !r.unsaved:
		r.log.Error("the disk is full: what was written to the bucket last is kept in memory", "err", err)
	case err != nil && !full:
		return fmt.Errorf("remember the roster's bucket: %w", err)
	}
	r.unsaved = full
	r.mark = m
	return nil
}
