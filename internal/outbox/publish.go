package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// windowMax and windowBytes are how much is under way to the local server at
	// once. It drops what comes beyond 100 000 unprocessed messages or 128 MB.
	windowMax   = 4000
	windowBytes = 16 << 20
	// retryPause is the wait before unacknowledged messages are sent again.
	retryPause = 100 * time.Millisecond
)

// Publish stores msgs, STATUS first, and returns when the local streams hold
// every one. What is not acknowledged is sent again until ctx ends or the store
// has failed for good; the error is why, and some of msgs may then be stored.
// While the disk is full, it waits for space.
//
// STATUS is stored in order even then: none before the one that precedes it in
// msgs, if that has an ID. TELEMETRY that had to be sent again may be behind
// later messages of the same call. One caller at a time.
func (o *Outbox) Publish(ctx context.Context, msgs []Message) error {
	var byClass [classes][]outgoing
	before := ""
	for i := range msgs {
		c := msgs[i].Class
		m := EncodeMessage(&msgs[i])
		if c == Status {
			if before != "" {
				m.Header[jetstream.ExpectedLastMsgIDHeader] = []string{before}
			}
			before = msgs[i].ID
		}
		byClass[c] = append(byClass[c], outgoing{m, msgs[i].Body})
	}
	for c := range byClass {
		if err := o.publishClass(ctx, Class(c), byClass[c]); err != nil {
			return fmt.Errorf("publish to %s: %w", Class(c), err)
		}
	}
	return nil
}

func (o *Outbox) publishClass(ctx context.Context, c Class, pending []outgoing) error {
	for len(pending) > 0 {
		n, before := windowLength(pending), o.last[c]
		if c == Telemetry {
			n = o.makeTelemetryRoom(ctx, pending[:n])
		}
		err := o.storeMessages(ctx, c, pending[:n])
		if err == nil {
			o.published[c].Add(uint64(n))
			pending = pending[n:]
			continue
		}
		if !o.causedByFullDisk(err) {
			return err
		}
		if err := o.waitForDiskSpace(ctx, err); err != nil {
			return err
		}
		rest, err := o.selectUnstored(ctx, c, pending, before)
		if err != nil {
			return err
		}
		o.published[c].Add(uint64(len(pending) - len(rest)))
		pending = rest
	}
	return nil
}

// windowLength returns how many of msgs may be under way at once: at least one.
func windowLength(msgs []outgoing) int {
	n, size := 0, 0
	for n < min(len(msgs), windowMax) && size < windowBytes {
		size += len(msgs[n].Data)
		n++
	}
	return n
}

// outgoing is a message as it is stored, and what it was made from.
type outgoing struct {
	*nats.Msg
	body any
}

// EncodeMessage returns a message as it is stored and forwarded.
func EncodeMessage(m *Message) *nats.Msg {
	headers := 3
	if m.CloudEvent != nil {
		headers = 10
	}
	h, values := make(nats.Header, headers+1), make([]string, 0, headers)
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(jetstream.MsgIDHeader, m.ID)
	set("Content-Type", m.ContentType)
	set("Pulse-Signature", m.Signature)
	if ce := m.CloudEvent; ce != nil {
		set("ce-specversion", "1.0")
		set("ce-id", ce.ID)
		set("ce-source", ce.Source)
		set("ce-type", ce.Type)
		set("ce-subject", ce.Subject)
		set("ce-time", ce.Time)
		set("ce-datacontenttype", m.ContentType)
	}
	return &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}
}

// storeMessages returns when the stream holds every message, and STATUS on the disk
// itself: one sync for all of msgs, since each takes 0.4 ms or far more.
func (o *Outbox) storeMessages(ctx context.Context, c Class, msgs []outgoing) error {
	if err := o.checkStoreExists(); err != nil {
		o.server.Fail(err)
		return o.Err()
	}
	if err := o.storeTogether(ctx, c, msgs); err == nil {
		o.recent[c].addMessages(msgs, o.last[c])
	} else {
		err := o.storeAll(ctx, c, msgs)
		o.recent[c].addMessages(nil, o.last[c])
		if err != nil {
			return err
		}
	}
	if c != Status {
		return nil
	}
	if err := o.status.Sync(); err != nil {
		// What the kernel could not write it may have dropped, and a second sync
		// would not fail: nothing published from here on could be trusted.
		o.server.Fail(err)
		return o.Err()
	}
	o.statusEnd.advanceTo(o.last[c])
	return nil
}

// errNotAll is returned when a stream's sequence did not rise by as much as was sent.
var errNotAll = errors.New("not all were stored")

// storeTogether sends all of msgs and has only the last one acknowledged. Nobody
// else publishes to our streams: if its sequence is as far from the last one as
// there are messages, they are all there. If not, some were refused, dropped or
// stored before, and it is not known which.
func (o *Outbox) storeTogether(ctx context.Context, c Class, msgs []outgoing) error {
	if err := o.Err(); err != nil {
		return err
	}
	last := len(msgs) - 1
	for _, m := range msgs[:last] {
		if err := o.nc.PublishMsg(m.Msg); err != nil {
			return err
		}
	}
	ack, err := o.js.PublishMsgAsync(msgs[last].Msg, jetstream.WithRetryAttempts(0))
	if err != nil {
		return err
	}
	stored, err := o.awaitAck(ctx, ack)
	if err != nil {
		return err
	}
	if stored.Sequence != o.last[c]+uint64(len(msgs)) {
		return errNotAll
	}
	o.last[c] = stored.Sequence
	return nil
}

// storeAll returns when the stream has acknowledged every message.
func (o *Outbox) storeAll(ctx context.Context, c Class, msgs []outgoing) error {
	for {
		if err := o.Err(); err != nil {
			return err
		}
		failed, err := o.storeEach(ctx, c, msgs)
		if err == nil || o.nc.IsClosed() {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages not stored in %s: %w (last try: %w)",
				len(failed), len(msgs), o.cfg.Dir, ctx.Err(), err)
		case <-time.After(retryPause):
		}
		msgs = failed
		// The one before it is stored, but need not be the last of the stream:
		// what is published twice is not stored again.
		delete(msgs[0].Header, jetstream.ExpectedLastMsgIDHeader)
	}
}

// storeEach sends all of msgs and then waits for their acknowledgements. It
// returns those that got none, in order, and the first one's reason.
func (o *Outbox) storeEach(ctx context.Context, c Class, msgs []outgoing) (failed []outgoing, first error) {
	acks := make([]jetstream.PubAckFuture, len(msgs))
	for i, m := range msgs {
		var err error
		if acks[i], err = o.js.PublishMsgAsync(m.Msg, jetstream.WithRetryAttempts(0)); err != nil {
			failed, first = append(failed, msgs[i:]...), err
			acks = acks[:i]
			break
		}
	}
	var unacked []outgoing
	for i, ack := range acks {
		stored, err := o.awaitAck(ctx, ack)
		if err == nil {
			o.last[c] = max(o.last[c], stored.Sequence)
			continue
		}
		if len(unacked) == 0 {
			first = fmt.Errorf("%s: %w", msgs[i].Subject, err)
		}
		unacked = append(unacked, msgs[i])
	}
	return append(unacked, failed...), first
}

func (o *Outbox) awaitAck(ctx context.Context, ack jetstream.PubAckFuture) (*jetstream.PubAck, error) {
	select {
	case stored := <-ack.Ok():
		return stored, nil
	case err := <-ack.Err():
		return nil, err
	case <-o.server.Storing().Done():
		return nil, o.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
