package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
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
	cursor cursor
	log    *slog.Logger

	reader jetstream.MessagesContext // nil before the first read and after a failed one
	number uint64                    // of the reader's last message

	position  atomic.Uint64 // the last sequence that is confirmed
	forwarded atomic.Uint64
	dropped   atomic.Uint64
}

// newForwarder takes up where the last run stopped. A power cut may have taken
// from the stream's end what the cursor counts already: it steps back to the
// end, or the messages that get those sequences next would not be forwarded.
func newForwarder(ctx context.Context, o *Outbox, c Class) (*forwarder, error) {
	f := &forwarder{
		stream: o.streams[c],
		remote: o.cfg.Remote,
		timing: o.timing,
		prefix: o.cfg.Prefix,
		cursor: cursorFor(o.cfg.Dir, c),
		log:    o.log.With("stream", c.String()),
	}
	seq, err := f.cursor.load()
	if err != nil {
		return nil, err
	}
	info, err := f.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("start forwarder of %s: %w", c, err)
	}
	if last := info.State.LastSeq; seq > last {
		f.log.Warn("forward cursor is beyond the stream's end: stepping back", "cursor", seq, "end", last)
		seq = last
		if err := f.cursor.save(seq); err != nil {
			return nil, err
		}
	}
	f.position.Store(seq)
	return f, nil
}

// run ends with ctx.
func (f *forwarder) run(ctx context.Context) {
	for ctx.Err() == nil {
		batch, err := f.read(ctx)
		if err == nil {
			err = f.deliver(ctx, batch)
		}
		if err != nil && ctx.Err() == nil {
			f.log.Error("cannot forward: starting again at the cursor", "err", err)
			pause(ctx, time.Second)
		}
		if err != nil {
			f.stopReading()
		}
	}
	f.stopReading()
}

// stored is a message of the local stream, ready to be sent.
type stored struct {
	seq uint64
	msg *nats.Msg
}

// read waits for the next messages and returns what there is, up to batchMax;
// after a long silence nothing.
func (f *forwarder) read(ctx context.Context) ([]stored, error) {
	if err := f.startReading(ctx); err != nil {
		return nil, err
	}
	batch := make([]stored, 0, batchMax)
	for more := true; more && len(batch) < batchMax; {
		m, meta, err := next(ctx, f.reader, f.number+1, f.timing.silence)
		if errors.Is(err, context.DeadlineExceeded) {
			f.stopReading() // and look again from the cursor, in case any got lost
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read local stream: %w", err)
		}
		f.number++
		header := m.Headers()
		delete(header, jetstream.ExpectedLastMsgIDHeader) // it was said of the local stream
		batch = append(batch, stored{meta.Sequence.Stream, &nats.Msg{Subject: m.Subject(), Header: header, Data: m.Data()}})
		more = meta.NumPending > 0
	}
	return batch, nil
}

func (f *forwarder) startReading(ctx context.Context) error {
	if f.reader != nil {
		return nil
	}
	cons, err := ownConsumer(ctx, f.stream, jetstream.ConsumerConfig{
		Name:          forwardConsumer,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   f.position.Load() + 1,
	})
	if err != nil {
		return fmt.Errorf("read local stream: %w", err)
	}
	f.number = 0
	f.reader, err = cons.Messages(underWay)
	if err != nil {
		return fmt.Errorf("read local stream: %w", err)
	}
	return nil
}

func (f *forwarder) stopReading() {
	if f.reader != nil {
		f.reader.Stop()
		f.reader = nil
	}
}

// deliver sends batch, and again what the remote has not confirmed, until it
// has confirmed all. Only ctx, or the cursor's disk, ends it sooner.
func (f *forwarder) deliver(ctx context.Context, batch []stored) error {
	for len(batch) > 0 {
		s, err := f.sender(ctx)
		if err != nil {
			return err
		}
		n, err := s.send(ctx, batch)
		if n > 0 {
			if err := f.advance(batch[:n]); err != nil {
				return err
			}
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

func (f *forwarder) advance(confirmed []stored) error {
	from, to := f.position.Load(), confirmed[len(confirmed)-1].seq
	if err := f.cursor.save(to); err != nil {
		return err
	}
	f.forwarded.Add(uint64(len(confirmed)))
	f.dropped.Add(to - from - uint64(len(confirmed)))
	f.position.Store(to)
	return nil
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
