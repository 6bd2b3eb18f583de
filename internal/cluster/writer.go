package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

const (
	writesMax  = 4096 // records that are not acknowledged
	batchesMax = writesMax / batchMax
	// fullDelay is how long claims wait that the bucket has no room for.
	fullDelay = 5 * time.Second
)

// batch is what was sent together.
type batch struct {
	writes  []ownership.Write
	answers []jetstream.PubAckFuture
}

// writeRecords stores what is to be stored until something fails or ctx ends.
func (o *sessionView) writeRecords(ctx context.Context) error {
	select {
	case <-o.writable:
	case <-ctx.Done():
		return ctx.Err()
	}
	sent := make(chan batch, batchesMax)
	failed := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.confirmBatches(ctx, sent, failed)
	}()
	err := o.sendBatches(ctx, sent, failed)
	close(sent)
	<-done
	return err
}

// sendBatches sends a beat at each tick, and claims when there are some.
func (o *sessionView) sendBatches(ctx context.Context, sent chan<- batch, failed <-chan error) error {
	beat := time.NewTicker(o.timing.beat)
	defer beat.Stop()
	if err := o.sendBeat(ctx, sent); err != nil {
		return err
	}
	for {
		select {
		case <-beat.C:
			if err := o.sendBeat(ctx, sent); err != nil {
				return err
			}
		case <-o.beatIn:
			if err := o.sendBeat(ctx, sent); err != nil {
				return err
			}
		case <-o.queued:
			if err := o.sendQueued(ctx, sent); err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-o.bucket.session.Ended():
			return o.bucket.session.Reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *sessionView) sendBeat(ctx context.Context, sent chan<- batch) error {
	o.mu.Lock()
	w := o.member.MakeBeat(ownership.Beat{Started: uint32(o.cfg.Started.Unix()), Role: o.cfg.Role, Version: o.cfg.Version})
	o.mu.Unlock()
	return o.sendWrites(ctx, []ownership.Write{w}, sent)
}

// sendQueued sends one batch, and has the next one follow if there is more.
func (o *sessionView) sendQueued(ctx context.Context, sent chan<- batch) error {
	o.mu.Lock()
	writes := o.member.TakeWrites(batchMax)
	o.signalQueued()
	o.mu.Unlock()
	if len(writes) == 0 {
		return nil
	}
	return o.sendWrites(ctx, writes, sent)
}

func (o *sessionView) sendWrites(ctx context.Context, writes []ownership.Write, sent chan<- batch) error {
	b := batch{writes: writes}
	for part := range splitBatches(writes) {
		records := make([]record, len(part))
		for i := range part {
			records[i] = record{part[i].Key.String(), string(part[i].Text)}
		}
		for i, value := range o.signer.signBatch(records) {
			m := &nats.Msg{Subject: o.bucket.domainSubject(keyPrefix + records[i].key), Data: value}
			if part[i].Brief && o.bucket.expires { // else the record stays
				m.Header = nats.Header{jetstream.MsgTTLHeader: {strconv.Itoa(int(ownership.LeavingTime / time.Second))}}
			}
			answer, err := o.bucket.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0))
			if err != nil {
				o.retryWrites(writes)
				return fmt.Errorf("store records: %w", err)
			}
			b.answers = append(b.answers, answer)
		}
	}
	select {
	case sent <- b:
		return nil
	case <-ctx.Done():
		o.retryWrites(writes)
		return ctx.Err()
	}
}

// splitBatches splits writes into parts that are signed together.
func splitBatches(writes []ownership.Write) func(func([]ownership.Write) bool) {
	return func(yield func([]ownership.Write) bool) {
		for len(writes) > 0 {
			n := min(batchMax, len(writes))
			if !yield(writes[:n]) {
				return
			}
			writes = writes[n:]
		}
	}
}

func (o *sessionView) retryWrites(writes []ownership.Write) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range writes {
		o.member.RetryWrite(&writes[i])
	}
	o.signalQueued()
}

// confirmBatches waits for the acknowledgements of batches, in their order. After the first
// failure it has all that follow stored again.
func (o *sessionView) confirmBatches(ctx context.Context, sent <-chan batch, failed chan<- error) {
	broken := false
	for b := range sent {
		if broken {
			o.retryWrites(b.writes)
			continue
		}
		orders := make([]uint64, len(b.writes)) // 0 for those that are not stored
		var err error
		for i := range b.writes {
			if orders[i], err = o.awaitAnswer(ctx, b.answers[i]); err == nil {
				continue
			}
			o.stats.failed.Add(1)
			if !isRefusedByStream(err) {
				broken = true
				failed <- fmt.Errorf("store records: %w", o.bucket.explain(err, keyPrefix+b.writes[i].Key.String()))
				break
			}
			o.logFull(err)
			waitFor(ctx, fullDelay/batchMax)
		}
		o.confirmWrites(b.writes, orders)
		if !broken {
			o.publishHint()
		}
	}
}

func (o *sessionView) awaitAnswer(ctx context.Context, answer jetstream.PubAckFuture) (order uint64, err error) {
	select {
	case ack := <-answer.Ok():
		return ack.Sequence, nil
	case err := <-answer.Err():
		return 0, err
	case <-o.bucket.session.Ended():
		return 0, o.bucket.session.Reason()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// isRefusedByStream reports whether the stream does not take this record, such as one more
// when it is full, while it may take others.
func isRefusedByStream(err error) bool {
	_, ok := errors.AsType[*jetstream.APIError](err)
	return ok
}

func (o *sessionView) logFull(err error) {
	if more, ok := o.refusals.Allow(); ok {
		o.log.Warn("the cluster's bucket does not take a record: it is tried again", "err", err, "more", more)
	}
}

// confirmWrites takes up the orders of records that were stored; the others are stored again.
func (o *sessionView) confirmWrites(writes []ownership.Write, orders []uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.member.SetTime(o.now())
	for i := range writes {
		w := &writes[i]
		if orders[i] == 0 {
			o.member.RetryWrite(w)
			continue
		}
		o.stats.stored.Add(1)
		o.member.ConfirmWrite(w, orders[i])
		if w.Key.Kind == ownership.BeatRecord {
			o.noticeAbsence()
			o.lastGood, o.good = o.good, time.Now()
		}
	}
	o.signalQueued()
}

// publishHint publishes up to which order records are stored.
func (o *sessionView) publishHint() {
	o.mu.RLock()
	order := o.member.Frontier()
	o.mu.RUnlock()
	o.target.raise(order, "")
	_ = o.bucket.session.Conn.Publish(hintSubject(o.cfg.Node), encodeOrder(order)) // a connection that fails ends the session
}
