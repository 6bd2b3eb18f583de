package outbox

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Recent calls each with the last n stored STATUS messages, oldest first. data
// is each's to keep. One call of it or of [Outbox.Last] runs at a time; others wait.
func (o *Outbox) Recent(ctx context.Context, n uint64, each func(subject string, data []byte)) error {
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
	return o.read(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first},
		func(subject string, data []byte) error { each(subject, data); return nil })
}
