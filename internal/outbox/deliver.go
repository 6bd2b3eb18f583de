package outbox

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sendMore sends what may be sent, within the bounds of what may be under way.
func (f *forwarder) sendMore(ctx context.Context) {
	if f.draining || !f.sender.listAnswered || f.yieldToStatus() {
		return
	}
	for len(f.sender.flight) < batchMax && f.bytes < bytesMax {
		late := false
		q, e, ok := f.queues.takeNext(false)
		if !ok {
			if f.late >= lateMax {
				break
			}
			late = true
			if q, e, ok = f.queues.takeNext(true); !ok {
				break
			}
		}
		if !f.sendOne(ctx, q, e, late) {
			break
		}
	}
	f.sender.startRoundTrip(ctx, f.timing.confirm, &f.background)
}

// sendOne sends a message. It returns false when nothing more can be sent now.
func (f *forwarder) sendOne(ctx context.Context, q *queue, e entry, late bool) bool {
	if e.msg == nil {
		var err error
		if e.msg, err = f.loadMessage(ctx, e.seq); errors.Is(err, jetstream.ErrMsgNotFound) {
			f.settleMissing(q, e)
			return true
		} else if err != nil {
			f.queues.putBack(q, e)
			if ctx.Err() == nil {
				f.log.Error("cannot read the local stream: trying again", "err", err)
				f.paused = time.Now().Add(time.Second)
			}
			return false
		}
	}
	if id, ok := f.ids[e.seq]; ok {
		m := *e.msg
		m.Header = maps.Clone(m.Header)
		m.Header[jetstream.MsgIDHeader] = []string{id}
		e.msg = &m
	}
	err := f.sender.sendMessage(q, e, kindOfSubject(f.prefix, q.subject), late)
	switch {
	case err == nil:
		f.bytes += len(e.msg.Data)
		if late {
			f.late++
		}
		return true
	case errors.Is(err, nats.ErrMaxPayload):
		f.setSubjectAside(q, e, err)
		return true
	}
	e.tried = true
	f.queues.putBack(q, e)
	f.sender.End(err)
	return false
}

// loadMessage reads a message again that was not kept in memory.
func (f *forwarder) loadMessage(ctx context.Context, seq uint64) (*Stored, error) {
	m, err := f.stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, err
	}
	return &Stored{Seq: m.Sequence, Subject: m.Subject, Header: forwardHeader(m.Header), Data: m.Data}, nil
}

// settleMissing settles a message that is no longer in the local stream: dropped by its
// limit, or damaged.
func (f *forwarder) settleMissing(q *queue, e entry) {
	f.settleMessage(q, e)
	f.dropped.Add(1)
	if f.class == Telemetry {
		f.losses.unlogged++
		f.logLosses()
		return
	}
	f.log.Error("a message is gone from the store before it could be forwarded", "subject", q.subject, "sequence", e.seq)
}

// settleMessage removes a message that was under way: nothing more is to be done for it.
func (f *forwarder) settleMessage(q *queue, e entry) {
	f.queues.settleEntry(q)
	f.progress.settleSequence(e.seq)
	delete(f.ids, e.seq)
	f.reader.Confirm(f.progress.low)
	f.unsaved = f.unsaved || f.progress.settledOutOfOrder()
}

// collectAnswers handles what the remote has answered.
func (f *forwarder) collectAnswers(ctx context.Context) {
	f.updateStoredSubjects(ctx)
	acks, tripped := f.sender.takeAnswers()
	before := f.forwarded.Load()
	for i := range acks {
		f.handleAck(&acks[i])
	}
	if tripped > f.sender.handled {
		f.handleRoundTrip(tripped)
	}
	if f.forwarded.Load() > before {
		f.shared.confirmed.Store(time.Now().UnixNano())
		f.sender.Good()
	}
}

func (f *forwarder) handleAck(a *ack) {
	m := f.sender.flight[a.number]
	if a.err == nil && a.kind < len(f.sender.kinds) {
		f.learnStored(m, f.sender.kinds[a.kind])
	}
	switch {
	case m == nil: // it was settled without
	case a.err == nil && a.duplicate && !m.entry.tried:
		f.removeFromFlight(a.number)
		f.sendUnderNewID(m)
	case a.err == nil:
		delete(f.unproven, f.sender.kinds[m.kind])
		f.confirmMessage(a.number)
	case exceedsStreamLimit(a.err):
		f.removeFromFlight(a.number)
		f.setSubjectAside(m.queue, m.entry, a.err)
	case errors.Is(a.err, errNoStream) && f.roundTripConfirms(m.queue.subject):
		if m.nobody = true; m.tripped {
			f.confirmByRoundTrip(a.number)
		}
	default:
		f.holdSubject(a.number, a.err)
	}
}

// handleRoundTrip handles that the server has handed on all messages up to a number,
// but for those that it refused.
func (f *forwarder) handleRoundTrip(upTo uint64) {
	f.sender.handled = upTo
	refusals := make(map[string]error)
	for n, m := range f.sender.flight {
		if n > upTo || m.tripped {
			continue
		}
		m.tripped = true
		subject := m.queue.subject
		err, asked := refusals[subject]
		if !asked {
			err = f.sender.TakeRefusal(subject)
			refusals[subject] = err
		}
		switch {
		case err != nil:
			f.removeFromFlight(n)
			f.setSubjectAside(m.queue, m.entry, err)
		case (m.nobody || f.sender.unanswered[f.sender.kinds[m.kind]]) && f.roundTripConfirms(subject):
			f.confirmByRoundTrip(n)
		}
	}
}

// confirmMessage settles a message that the remote has.
func (f *forwarder) confirmMessage(number uint64) {
	m := f.sender.flight[number]
	f.removeFromFlight(number)
	f.sender.Published(m.queue.subject)
	if m.queue.hold != free {
		if m.queue.hold == waiting {
			f.probes, f.probed = min(2*f.probes, batchMax), time.Time{}
		}
		f.queues.releaseQueue(m.queue)
	}
	f.settleMessage(m.queue, m.entry)
	f.forwarded.Add(1)
}

// confirmByRoundTrip settles a message for which a round trip has to do, since no stream
// has ever stored its like.
func (f *forwarder) confirmByRoundTrip(number uint64) {
	kind := f.sender.kinds[f.sender.flight[number].kind]
	f.confirmMessage(number)
	f.unacked.Add(1)
	f.unproven[kind] = true
	if f.class == Status && f.warned.Allow(kind) {
		f.log.Warn("nothing confirms status changes: no stream of the NATS server has ever acknowledged one, and a message that nobody receives there is lost; "+
			"make a stream for them", "subjects", kind)
	}
}
