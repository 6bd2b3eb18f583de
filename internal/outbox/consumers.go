package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Our own consumers have fixed names, so that readers can be kept off them.
const (
	consumerPrefix  = "pulse-"
	forwardReader   = "forward"
	forwardConsumer = consumerPrefix + forwardReader
	lastConsumer    = consumerPrefix + "last"
)

var ownConsumers = []string{forwardConsumer, lastConsumer, consumerPrefix + "roster"}

// What is under way from the local server to one of our readers at most. Its
// bytes, for all of them together, must stay below pendingMax: beyond that the
// server ends our connection as it would a reader's, with what is in it.
var underWay = jetstream.PullMaxMessagesWithBytesLimit(2*batchMax, 4<<20)

// errSkipped says that the connection lost messages on their way to a reader of ours.
var errSkipped = errors.New("messages lost on the way from the local server")

// next returns the next message, which must be number expected of this consumer.
func next(ctx context.Context, msgs jetstream.MessagesContext, expected uint64) (jetstream.Msg, *jetstream.MsgMetadata, error) {
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

// ownConsumer makes a consumer of ours anew. It lives in memory and acknowledges nothing.
func ownConsumer(ctx context.Context, stream jetstream.Stream, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, createWait) // the client library's own is 5 s
	defer cancel()
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
