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
	forwardConsumer = "pulse-forward"
	lastConsumer    = "pulse-last"
)

var ownConsumers = []string{forwardConsumer, lastConsumer}

// ownConsumer makes a consumer of ours anew. It lives in memory and acknowledges nothing.
func ownConsumer(ctx context.Context, stream jetstream.Stream, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
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
