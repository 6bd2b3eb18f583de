// Package roster keeps the present state of every agent in a JetStream key-value
// bucket, PULSE_AGENTS, for XDR platforms that come late and would have to
// replay all status changes otherwise. The bucket is on the XDR's NATS, or
// with the embedded server in that one.
//
// It follows the outbox's STATUS stream from a position on disk, which moves only
// when the bucket has acknowledged what was read so far: a crash loses nothing,
// and what is written twice is the same. No value is ever replaced by an older
// one (see [event.AgentState.Supersedes]), whoever else writes: each write names the
// revision that it replaces. A file remembers which bucket it was and what was
// written to it last; if the bucket is another one, or has lost that, the roster
// is written anew from the last message of each agent.
//
// It holds no more of the fleet in memory than one batch of messages. Without
// JetStream or without a bucket, which it makes if it may, it waits for them.
//
// [Open] starts one goroutine, which starts others for a batch at a time;
// [Roster.Close] ends them. All methods may be called concurrently.
package roster

import (
	"cmp"
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
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// Config is what a roster is made from, and where its state is.
type Config struct {
	Outbox *outbox.Outbox // whose STATUS stream it follows
	Remote *remote.Remote // where the bucket is; nil for the outbox's own server
	Prefix event.Prefix   // of the messages
	Dir    string         // for the file roster.json

	Open  func(message []byte) ([]byte, error)                                    // reads a message of the outbox; nil: it is in the clear
	Seal  func(value []byte) (data []byte, header map[string][]string, err error) // encodes a value as it is stored; nil: the value itself
	KeyID string                                                                  // identifies the keys that Seal uses: with others, all is written anew

	// Node is this node, and Latest the epoch and the sequence of its last message: a value
	// in its name that is later is not its own. Nil for not known.
	Node   string
	Latest func() (epoch, sequence uint64)
	// LatestOrder is the highest ClusterOrder that a state can have by now, 0 if that is not known.
	// Nil outside a cluster.
	LatestOrder func() uint64

	Log *slog.Logger // nil for slog.Default()
}

// Roster writes the bucket. See [Open].
type Roster struct {
	cfg        Config
	log        *slog.Logger
	timing     timing
	reader     *outbox.Reader
	embedded   *nats.Conn // with the outbox's own server; nil with a remote
	checkpoint checkpoint // of the bucket
	file       string
	keys       string // the fingerprint of the keys that values are sealed with

	problem        logonce.Condition
	unsaved        bool          // the checkpoint, since the disk is full
	warnedWipeable bool          // a bucket that can be wiped was logged
	puts           atomic.Uint64 // writes that are acknowledged, and not in the checkpoint yet
	added          atomic.Uint64 // those of them to keys that were not there
	writable       atomic.Bool
	stats          counters

	stop    context.CancelFunc
	running sync.WaitGroup
}

// timing holds the waits that tests shorten.
type timing struct {
	answerTimeout time.Duration // for one answer of the server
	retryDelay    time.Duration // after a failure
	checkPeriod   time.Duration // between two checks whether the bucket is still the same
	gatherPeriod  time.Duration // between the beginnings of two batches that are not full
}

// Of agents that start, or change again and again, a batch has the last state only, and there is one
// checkpoint for all: each is synced to disk.
var defaultTiming = timing{answerTimeout: 5 * time.Second, retryDelay: 10 * time.Second, checkPeriod: time.Minute, gatherPeriod: 200 * time.Millisecond}

// batchMax is how many messages are read, and their agents written, before the
// position moves.
const batchMax = 4000

// Open starts to write the roster. That there is no bucket is no error.
func Open(ctx context.Context, cfg Config) (*Roster, error) { return open(ctx, cfg, defaultTiming) }

func open(ctx context.Context, cfg Config, t timing) (*Roster, error) {
	r := &Roster{cfg: cfg, log: cmp.Or(cfg.Log, slog.Default()).With("bucket", event.AgentsBucket), timing: t, file: filepath.Join(cfg.Dir, "roster.json"), keys: cfg.fingerprintKeys()}
	r.checkpoint = loadCheckpoint(r.file, r.log)
	var err error
	r.reader, err = cfg.Outbox.Reader(ctx, outbox.ReaderConfig{Name: "roster", Class: outbox.Status,
		Filter: cfg.Prefix.StatusChanges(), Current: true, Recent: true})
	if err != nil {
		return nil, fmt.Errorf("open the roster: %w", err)
	}
	if cfg.Remote == nil {
		if r.embedded, err = cfg.Outbox.Connect(natsserver.Roster); err != nil {
			return nil, errors.Join(fmt.Errorf("open the roster: %w", err), r.reader.Close())
		}
	}
	run, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { r.run(run) })
	return r, nil
}

// Close ends it within a moment. It must be called before Close of the outbox and the remote.
func (r *Roster) Close() error {
	r.stop()
	r.running.Wait()
	if r.embedded != nil {
		r.embedded.Close()
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
		err = r.followOutbox(ctx, c)
		r.writable.Store(false)
		r.stats.failures.Add(1)
		if ctx.Err() != nil {
			return
		}
		wait := r.timing.retryDelay
		if c.IsClosed() { // which is logged by its owner
			wait = min(wait, 100*time.Millisecond)
		} else {
			r.logProblem(err)
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
	domain  jsdomain.Domain            // of the bucket
	refusal func(subject string) error // why a message to it was not taken, if it was not
}

func (r *Roster) connect(ctx context.Context) (*connection, error) {
	if r.cfg.Remote == nil {
		return &connection{r.embedded, "", func(string) error { return nil }}, ctx.Err()
	}
	session, err := r.cfg.Remote.Session(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{session.Conn, session.JetStreamDomain(), session.TakeRefusal}, nil
}

// followOutbox writes the roster on one connection until something fails.
func (r *Roster) followOutbox(ctx context.Context, c *connection) error {
	b, err := openBucket(ctx, c, r.timing.answerTimeout)
	if err != nil {
		return err
	}
	defer b.writer.Close()
	if err := r.resumeBucket(ctx, b); err != nil {
		return err
	}
	r.writable.Store(!r.problem.Failed()) // else the first write decides
	for looked := time.Now(); ; {
		batch, err := r.nextMessageBatch(ctx, looked.Add(r.timing.checkPeriod))
		if err != nil {
			return err
		}
		next := time.Now().Add(r.timing.gatherPeriod)
		if err := r.applyMessageBatch(ctx, b, batch); err != nil {
			return err
		}
		r.logRecovery()
		if time.Since(looked) >= r.timing.checkPeriod {
			if err := r.checkBucketContents(ctx, b); err != nil {
				return err
			}
			looked = time.Now()
		}
		if n := len(batch); n > 0 && n < batchMax {
			pauseUntil(ctx, next)
		}
	}
}

// pauseUntil waits until a time, or until ctx ends.
func pauseUntil(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// checkBucketContents finds out by the amount of its contents whether somebody else has changed
// the bucket, and if so compares each agent's value with the state it should have. No
// write is under way.
func (r *Roster) checkBucketContents(ctx context.Context, b *bucket) error {
	if err := b.reopen(ctx); err != nil {
		return err
	}
	if err := b.forbidRollUps(ctx); err != nil && !r.warnedWipeable {
		r.warnedWipeable = true
		r.log.Warn("the bucket allows roll-ups: any node may wipe it; an administrator can forbid them", "err", err)
	}
	want := r.expectedBucketContents()
	if b.contents == want {
		return nil
	}
	if b.contents.Messages < want.Messages {
		r.log.Warn("states of agents are gone from the bucket: somebody has removed them, and they are written again", "missing", want.Messages-b.contents.Messages)
	}
	return r.rewriteAllAgents(b)
}

// nextMessageBatch waits for messages until it is time to check the bucket.
func (r *Roster) nextMessageBatch(ctx context.Context, until time.Time) ([]outbox.Stored, error) {
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	batch, err := r.reader.Next(waiting, batchMax)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return batch, err
}

// applyMessageBatch writes a batch to the bucket, and then moves the position.
func (r *Roster) applyMessageBatch(ctx context.Context, b *bucket, batch []outbox.Stored) error {
	if len(batch) == 0 {
		return nil
	}
	deleted := r.stats.deleted.Load()
	last, err := r.writeAgentStates(ctx, b, r.latestAgentStates(batch))
	if n := r.stats.deleted.Load() - deleted; n > 0 {
		r.log.Warn("states of agents were deleted from the bucket by somebody else, and are written again", "agents", n)
	}
	if err != nil {
		return err
	}
	if last.Revision > 0 {
		if last.Revision <= r.checkpoint.Revision {
			return errAnother
		}
		m := r.checkpoint
		m.Agent, m.Revision, m.contents = last.Agent, last.Revision, r.expectedBucketContents()
		r.puts.Store(0)
		r.added.Store(0)
		if err := r.saveCheckpoint(m); err != nil {
			return err
		}
	}
	r.reader.Confirm(batch[len(batch)-1].Seq)
	return nil
}
