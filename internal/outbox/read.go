package outbox

import (
	"context"
	"errors"
	"fmt"

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

// readStatus calls each with what a consumer of STATUS has now.
func (o *Outbox) readStatus(ctx context.Context, cfg jetstream.ConsumerConfig, each func(subject string, data []byte) error) error {
	o.reading.Lock()
	defer o.reading.Unlock()
	cfg.Name = natsserver.LastConsumer
	cons, err := createOwnConsumer(ctx, o.nc, o.streams[Status], cfg)
	if err != nil {
		return fmt.Errorf("read stored messages: %w", err)
	}
	defer o.streams[Status].DeleteConsumer(context.WithoutCancel(ctx), natsserver.LastConsumer)
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
		if err := each(m.Subject(), m.Data()); err != nil {
			return err
		}
		left = meta.NumPending
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
