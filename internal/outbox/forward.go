package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

const (
	// batchMax is how many messages are under way to the remote before their
	// confirmation is awaited: enough to hide the round trip, few enough to repeat.
	batchMax = 1000
	// retryDead is how often refused messages are tried again on one connection.
	retryDead = 5 * time.Minute
)

// forwarder carries one stream to the remote: it reads a batch, sends it until the
// remote has confirmed or refused all of it, and moves the cursor.
//
// STATUS is in order for each subject at the far side, whatever fails there: a
// stream that takes a message after it has not taken one before (its leader
// changed in between) would have them the wrong way round. So of a subject only one
// message is under way. Of alerts several are: they are copies, one may overtake another.
type forwarder struct {
	class  Class
	stream jetstream.Stream
	remote *remote.Remote
	timing timing
	prefix string
	first  *forwarder // what it has goes first; nil for none
	to     *sender    // of the last session; nil before the first
	from   *Reader
	dead   *deadLetters
	gap    gap
	log    *slog.Logger

	losses losses
	tell   func(c Class, messages uint64, after time.Duration) // of what was caught up with; nil for nobody

	forwarded atomic.Uint64
	dropped   atomic.Uint64
	caughtUp  atomic.Uint64 // of forwarded: in and after a gap
}

func newForwarder(ctx context.Context, o *Outbox, c Class) (*forwarder, error) {
	f := &forwarder{
		class:  c,
		stream: o.streams[c],
		remote: o.cfg.Remote,
		timing: o.timing,
		prefix: o.cfg.Prefix,
		tell:   o.cfg.CaughtUp,
		log:    o.log.With("stream", c.String()),
	}
	var err error
	f.from, err = newReader(ctx, o, f.stream, ReaderConfig{Name: forwardReader, Class: c}, cursorFor(o.cfg.Dir, c.String()+".cursor"))
	if err != nil {
		return nil, fmt.Errorf("start forwarder of %s: %w", c, err)
	}
	f.from.tail = newTail(tailRoom, o.last[c])
	f.losses.seen = f.from.Confirmed()
	f.dead, err = openDeadLetters(ctx, o, c)
	return f, err
}

// run ends with ctx.
func (f *forwarder) run(ctx context.Context) {
	for {
		batch, err := f.next(ctx)
		f.count(batch)
		for err == nil && len(batch) > 0 {
			n := f.together(batch)
			err = f.deliver(ctx, batch[:n])
			batch = batch[n:]
		}
		if err != nil { // of ctx
			break
		}
	}
	if err := f.from.Close(); err != nil {
		f.log.Error("cannot keep the position", "err", err)
	}
}

// next returns what there is to send, and nothing when it is time to see to dead
// letters first.
func (f *forwarder) next(ctx context.Context) ([]Stored, error) {
	if f.dead.count.Load() == 0 {
		return f.from.Next(ctx, batchMax)
	}
	if err := f.revive(ctx); err != nil {
		return nil, err
	}
	f.catchUp()
	reading, cancel := context.WithTimeout(ctx, f.timing.dead)
	defer cancel()
	batch, err := f.from.Next(reading, batchMax)
	if err != nil && ctx.Err() == nil {
		err = nil
	}
	return batch, err
}

// revive tries dead letters again, with a new session and every now and then.
func (f *forwarder) revive(ctx context.Context) error {
	s, err := f.sender(ctx)
	if err != nil {
		return err
	}
	if f.dead.triedOn == s && time.Since(f.dead.tried) < retryDead {
		return nil
	}
	f.dead.triedOn, f.dead.tried = s, time.Now()
	err = f.dead.retry(ctx, func(batch []Stored) (outcome, error) { return s.send(ctx, batch[:f.together(batch)]) })
	if err != nil && ctx.Err() == nil {
		s.End(err)
	}
	return ctx.Err()
}

// together is how many of a batch, from its start, may be under way at once.
func (f *forwarder) together(batch []Stored) int {
	if f.class != Status {
		return len(batch)
	}
	seen := make(map[string]bool, len(batch))
	for i, m := range batch {
		if seen[m.Subject] {
			return i
		}
		if strings.HasPrefix(m.Subject, f.prefix+".agent.") {
			seen[m.Subject] = true
		}
	}
	return len(batch)
}

// deliver sends batch, and again what the remote has not confirmed, until it
// has confirmed all. Only ctx ends it sooner.
func (f *forwarder) deliver(ctx context.Context, batch []Stored) error {
	last := batch[len(batch)-1].Seq
	batch, err := f.leave(ctx, batch)
	for err == nil && len(batch) > 0 {
		began := time.Now()
		var s *sender
		if s, err = f.sender(ctx); err != nil {
			return err
		}
		f.giveWay(ctx)
		done, sendErr := s.send(ctx, batch)
		if err = f.setAside(ctx, done.refused); err != nil {
			return err
		}
		if n := done.settled; n > 0 {
			f.forwarded.Add(uint64(n - len(done.refused)))
			f.from.Confirm(batch[n-1].Seq)
			batch = batch[n:]
		}
		if sendErr != nil {
			f.gap.begin(began, f.forwarded.Load())
			s.End(sendErr)
			continue
		}
		s.Good()
	}
	if err != nil {
		return err
	}
	f.from.Confirm(last)
	f.catchUp()
	return nil
}

// errBehind is why a message is set aside that the remote was not asked about.
var errBehind = errors.New("an earlier message of this subject was refused, and goes first")

// leave sets aside the messages of batch that may not overtake dead letters, and
// returns the others.
func (f *forwarder) leave(ctx context.Context, batch []Stored) (rest []Stored, err error) {
	if len(f.dead.held) == 0 {
		return batch, nil
	}
	var wait []deadLetter
	for _, m := range batch {
		if f.dead.holds(m.Subject) {
			wait = append(wait, deadLetter{m, errBehind})
		} else {
			rest = append(rest, m)
		}
	}
	return rest, f.setAside(ctx, wait)
}

// setAside tries until the local disk has taken them. The error is ctx's.
func (f *forwarder) setAside(ctx context.Context, refused []deadLetter) error {
	for failed := false; len(refused) > 0; failed = true {
		err := f.dead.add(ctx, refused)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !failed {
			f.log.Error("cannot set aside what the NATS server refuses: trying again", "err", err)
		}
		pause(ctx, time.Second)
	}
	return nil
}

// session returns the present one, or the next if there is none.
func (f *forwarder) session(ctx context.Context) (*remote.Session, error) {
	for began := time.Now(); ; {
		waiting, cancel := context.WithTimeout(ctx, f.timing.look)
		s, err := f.remote.Session(waiting)
		cancel()
		if err == nil && time.Since(began) > f.timing.gap {
			f.gap.begin(began, f.forwarded.Load())
		}
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		f.from.stopReading() // what is on its way from the stream is read again: it is not lost, nor to be kept in memory
		f.look(ctx)
	}
}

// sender returns one on the present session, or the next if there is none.
func (f *forwarder) sender(ctx context.Context) (*sender, error) {
	session, err := f.session(ctx)
	if err != nil {
		return nil, err
	}
	if f.to == nil || f.to.Session != session {
		if f.to, err = newSender(session, f.timing.sent); err != nil {
			return nil, err
		}
	}
	f.to.learn(ctx, f.prefix)
	return f.to, nil
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
