package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
)

// ReadLast calls each with the last stored message of every STATUS subject that
// matches filter (such as "wazuh.xdr.agent.*.status_change"), in the order in
// which those messages were published, so oldest first. It streams them, so a million subjects
// take little memory here. data is each's to keep. An error of each ends it and
// is returned as it is. One call runs at a time; others wait.
func (o *Outbox) ReadLast(ctx context.Context, filter string, each func(subject string, data []byte) error) error {
	return o.readStatus(ctx, jetstream.ConsumerConfig{FilterSubject: filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, each)
}

// readStatus calls each with what a consumer of STATUS has now, each message once.
func (o *Outbox) readStatus(ctx context.Context, cfg jetstream.ConsumerConfig, each func(subject string, data []byte) error) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	cfg.Name = natsserver.LastConsumer
	defer o.streams[Status].DeleteConsumer(context.WithoutCancel(ctx), natsserver.LastConsumer)
	return resumeSkipped(func(last *uint64) error {
		if cfg.DeliverPolicy != jetstream.DeliverLastPerSubjectPolicy && *last > 0 {
			cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, *last+1
		}
		return o.readConsumer(ctx, cfg, last, each)
	})
}

// resumeSkipped calls read with the sequence of the last message that was read, as long as
// messages were lost on the way and it reads more.
func resumeSkipped(read func(last *uint64) error) error {
	for last := uint64(0); ; {
		before := last
		if err := read(&last); !errors.Is(err, errSkipped) || last == before {
			return err
		}
	}
}

// readConsumer calls each with what a consumer of STATUS has now behind a sequence, which
// it sets to that of the last.
func (o *Outbox) readConsumer(ctx context.Context, cfg jetstream.ConsumerConfig, last *uint64, each func(subject string, data []byte) error) error {
	cons, err := createOwnConsumer(ctx, o.nc, o.streams[Status], cfg)
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	left := cons.CachedInfo().NumPending
	if left == 0 {
		return nil
	}
	msgs, err := cons.Messages(pullLimits)
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	defer msgs.Stop()
	for number := uint64(1); left > 0; number++ {
		m, meta, err := o.nextWithinSilence(ctx, msgs, number)
		if err != nil {
			return fmt.Errorf("read stored messages: %d to come: %w", left, err)
		}
		left = meta.NumPending
		if meta.Sequence.Stream <= *last {
			continue
		}
		*last = meta.Sequence.Stream
		if err := each(m.Subject(), m.Data()); err != nil {
			return err
		}
	}
	return nil
}

// nextWithinSilence waits for no longer than silence.
func (o *Outbox) nextWithinSilence(ctx context.Context, msgs jetstream.MessagesContext, number uint64) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timing.silence)
	defer cancel()
	return nextInOrder(ctx, msgs, number)
}

// ReadRecent calls each with the last n stored STATUS messages, oldest first. data
// is each's to keep. One call of it or of [Outbox.ReadLast] runs at a time; others wait.
func (o *Outbox) ReadRecent(ctx context.Context, n uint64, each func(subject string, data []byte)) error {
	info, err := o.streams[Status].Info(ctx)
	if err != nil {
		return fmt.Errorf("read the last %d messages: %w", n, err)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	first := info.State.FirstSeq
	if last := info.State.LastSeq; last >= n {
		first = max(first, last-n+1)
	}
	return o.readStatus(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first},
		func(subject string, data []byte) error { each(subject, data); return nil })
}

// Position is a place in the STATUS stream. The zero one is before its first message.
type Position struct {
	Created  time.Time `json:"created"`  // of the stream: another one has another
	Sequence uint64    `json:"sequence"` // of the last message before the place
}

// StatusPosition returns the present end of STATUS.
func (o *Outbox) StatusPosition(ctx context.Context) (Position, error) {
	info, err := o.streams[Status].Info(ctx)
	if err != nil {
		return Position{}, fmt.Errorf("find the end of STATUS: %w", err)
	}
	return Position{Created: info.Created, Sequence: info.State.LastSeq}, nil
}

// ReadAfter calls each with the stored STATUS messages on some subjects that are after a
// position, oldest first. If the position is of another stream, or the end of the stream
// was lost with it, these are the messages since a time. data is each's to keep. It may
// be called when [Outbox.ReadLast] may.
func (o *Outbox) ReadAfter(ctx context.Context, after Position, since time.Time, subjects []string, each func(subject string, data []byte)) error {
	end, err := o.StatusPosition(ctx)
	if err != nil {
		return err
	}
	cfg := jetstream.ConsumerConfig{FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}
	if end.Created.Equal(after.Created) && after.Sequence <= end.Sequence {
		cfg.DeliverPolicy, cfg.OptStartTime, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, nil, after.Sequence+1
	}
	return o.readStatus(ctx, cfg, func(subject string, data []byte) error { each(subject, data); return nil })
}

// ReadLastID returns the ID of the last message of a class that is stored; "" for none.
func (o *Outbox) ReadLastID(ctx context.Context, c Class) (string, error) {
	info, err := o.streams[c].Info(ctx)
	if err != nil {
		return "", fmt.Errorf("find the last message of %s: %w", c, err)
	}
	if info.State.LastSeq == 0 {
		return "", nil // nothing was ever stored
	}
	m, err := o.streams[c].GetMsg(ctx, info.State.LastSeq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the last message of %s: %w", c, err)
	}
	return m.Header.Get(jetstream.MsgIDHeader), nil
}

// pullLimits bounds what is under way from the local server to one of our readers. The
// bytes, for all of them together, must stay below 32 MiB: beyond that the
// server closes our connection as it would a client's, and drops what is in it.
var pullLimits = jetstream.PullMaxMessagesWithBytesLimit(2*batchMax, 4<<20)

// errSkipped is returned when messages were lost between the local server and a reader.
var errSkipped = errors.New("messages lost on the way from the local server")

// nextInOrder returns the next message, which must be number expected of this consumer.
func nextInOrder(ctx context.Context, msgs jetstream.MessagesContext, expected uint64) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	m, err := msgs.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, nil, err
	}
	if meta.Sequence.Consumer != expected {
		return nil, nil, fmt.Errorf("%w: got number %d, want %d", errSkipped, meta.Sequence.Consumer, expected)
	}
	return m, meta, nil
}

// createWait is for making a consumer: to find the last messages of a million
// subjects, the server reads all files of the stream first, for seconds.
const createWait = 2 * time.Minute

// errLost is returned when the connection to the local server ended: requests on it are
// never answered.
var errLost = errors.New("the connection to the local server was lost")

// cancelWhenLost returns a context that ends when the connection is lost, and a function
// that has to be called. Without it, a lost answer would be awaited for all of createWait.
func cancelWhenLost(ctx context.Context, nc *nats.Conn) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-lost:
			cancel(errLost)
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
		nc.RemoveStatusListener(lost)
	}
}

// createOwnConsumer creates a consumer of ours, in place of an earlier one. It is kept in
// memory and needs no acknowledgements.
func createOwnConsumer(ctx context.Context, nc *nats.Conn, stream jetstream.Stream, cfg jetstream.ConsumerConfig) (_ jetstream.Consumer, err error) {
	ctx, cancel := context.WithTimeout(ctx, createWait) // the client library's own is 5 s
	defer cancel()
	ctx, stop := cancelWhenLost(ctx, nc)
	defer stop()
	defer func() {
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, errLost) {
			err = cause
		}
	}()
	if err := stream.DeleteConsumer(ctx, cfg.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("remove old consumer %s: %w", cfg.Name, err)
	}
	cfg.AckPolicy, cfg.MemoryStorage, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, time.Minute
	cons, err := stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("create consumer %s: %w", cfg.Name, err)
	}
	return cons, nil
}
