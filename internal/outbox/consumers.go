package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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
