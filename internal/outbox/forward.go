package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// batchMax is how many messages are under way to the remote before their
// confirmation is awaited: enough to hide the round trip, few enough to repeat.
const batchMax = 1000

// forwarder carries one stream to the remote, in order: it reads a batch, sends
// it until the remote has confirmed all of it, and moves the cursor.
type forwarder struct {
	stream jetstream.Stream
	remote *remote.Remote
	timing timing
	prefix string
	to     *sender // of the last session; nil before the first
	from   *Reader
	log    *slog.Logger

	forwarded atomic.Uint64
	dropped   atomic.Uint64
}

func newForwarder(ctx context.Context, o *Outbox, c Class) (*forwarder, error) {
	f := &forwarder{
		stream: o.streams[c],
		remote: o.cfg.Remote,
		timing: o.timing,
		prefix: o.cfg.Prefix,
		log:    o.log.With("stream", c.String()),
	}
	var err error
	f.from, err = newReader(ctx, o, f.stream, ReaderConfig{Name: forwardReader, Class: c}, cursorFor(o.cfg.Dir, c.String()+".cursor"))
	if err != nil {
		return nil, fmt.Errorf("start forwarder of %s: %w", c, err)
	}
	f.from.tail = newTail(tailRoom, o.last[c])
	return f, nil
}

// run ends with ctx.
func (f *forwarder) run(ctx context.Context) {
	for {
		batch, err := f.from.Next(ctx, batchMax)
		if err == nil {
			err = f.deliver(ctx, batch)
		}
		if err != nil { // of ctx
			break
		}
	}
	if err := f.from.Close(); err != nil {
		f.log.Error("cannot keep the position", "err", err)
	}
}

// deliver sends batch, and again what the remote has not confirmed, until it
// has confirmed all. Only ctx ends it sooner.
func (f *forwarder) deliver(ctx context.Context, batch []Stored) error {
	for len(batch) > 0 {
		s, err := f.sender(ctx)
		if err != nil {
			return err
		}
		n, err := s.send(ctx, batch)
		if n > 0 {
			f.advance(batch[:n])
			batch = batch[n:]
		}
		if err != nil {
			s.End(err)
			continue
		}
		s.Good()
	}
	return nil
}

// sender returns one on the present session, or the next if there is none.
func (f *forwarder) sender(ctx context.Context) (*sender, error) {
	session, err := f.remote.Session(ctx)
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

func (f *forwarder) advance(confirmed []Stored) {
	from, to := f.from.Confirmed(), confirmed[len(confirmed)-1].Seq
	f.forwarded.Add(uint64(len(confirmed)))
	f.dropped.Add(to - from - uint64(len(confirmed)))
	f.from.Confirm(to)
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
