package outbox

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
)

// Last calls each with the last stored message of every STATUS subject that
// matches filter (such as "wazuh.xdr.agent.*.status_change"), in the order in
// which those messages were published, so oldest first. It streams them, so a million subjects
// take little memory here. data is each's to keep. An error of each ends it and
// is returned as it is. One call runs at a time; others wait.
func (o *Outbox) Last(ctx context.Context, filter string, each func(subject string, data []byte) error) error {
	return o.read(ctx, jetstream.ConsumerConfig{FilterSubject: filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}, each)
}

// read calls each with what a consumer of STATUS has now.
func (o *Outbox) read(ctx context.Context, cfg jetstream.ConsumerConfig, each func(subject string, data []byte) error) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	cfg.Name = natsserver.LastConsumer
	cons, err := ownConsumer(ctx, o.nc, o.streams[Status], cfg)
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	defer o.streams[Status].DeleteConsumer(context.WithoutCancel(ctx), natsserver.LastConsumer)
	left := cons.CachedInfo().NumPending
	if left == 0 {
		return nil
	}
	msgs, err := cons.Messages(underWay)
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	defer msgs.Stop()
	for number := uint64(1); left > 0; number++ {
		m, meta, err := o.nextWithin(ctx, msgs, number)
		if err != nil {
			return fmt.Errorf("read stored messages: %d to come: %w", left, err)
		}
		if err := each(m.Subject(), m.Data()); err != nil {
			return err
		}
		left = meta.NumPending
	}
	return nil
}

// nextWithin waits for no longer than silence.
func (o *Outbox) nextWithin(ctx context.Context, msgs jetstream.MessagesContext, number uint64) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timing.silence)
	defer cancel()
	return next(ctx, msgs, number)
}
