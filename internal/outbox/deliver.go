package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sendMore sends what may be sent, as far as there is room under way.
func (f *forwarder) sendMore(ctx context.Context) {
	if f.draining || !f.to.heard || f.giveWay() {
		return
	}
	for len(f.to.flight) < batchMax && f.bytes < bytesMax {
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
	f.to.roundTrip(ctx, f.timing.sent, &f.pinging)
}

// sendOne sends a message. It returns false when nothing more can be sent now.
func (f *forwarder) sendOne(ctx context.Context, q *queue, e entry, late bool) bool {
	if e.msg == nil {
		var err error
		if e.msg, err = f.load(ctx, e.seq); errors.Is(err, jetstream.ErrMsgNotFound) {
			f.gone(q, e)
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
	err := f.to.send(q, e, kindOf(f.prefix, q.subject), late)
	switch {
	case err == nil:
		f.bytes += len(e.msg.Data)
		if late {
			f.late++
		}
		return true
	case errors.Is(err, nats.ErrMaxPayload):
		f.refuse(q, e, err)
		return true
	}
	e.tried = true
	f.queues.putBack(q, e)
	f.to.End(err)
	return false
}

// load reads a message again that was not kept in memory.
func (f *forwarder) load(ctx context.Context, seq uint64) (*Stored, error) {
	m, err := f.stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, err
	}
	return &Stored{Seq: m.Sequence, Subject: m.Subject, Header: forwardHeader(m.Header), Data: m.Data}, nil
}

// gone settles a message that the local stream has no more: dropped by its limit, or damaged.
func (f *forwarder) gone(q *queue, e entry) {
	f.settleMessage(q, e)
	f.dropped.Add(1)
	if f.class == Telemetry {
		f.losses.unsaid++
		f.tellLosses()
		return
	}
	f.log.Error("a message is gone from the store before it could be forwarded", "subject", q.subject, "sequence", e.seq)
}

// settleMessage ends the way of a message that was under way.
func (f *forwarder) settleMessage(q *queue, e entry) {
	f.queues.settleEntry(q)
	f.progress.settleSequence(e.seq)
	delete(f.ids, e.seq)
	f.from.Confirm(f.progress.low)
	f.unsaved = f.unsaved || f.progress.early()
}

// collect takes what the remote answered.
func (f *forwarder) collect(ctx context.Context) {
	f.takeStreams(ctx)
	acks, tripped := f.to.takeNews()
	before := f.forwarded.Load()
	for i := range acks {
		f.answered(&acks[i])
	}
	if tripped > f.to.handled {
		f.handedOn(tripped)
	}
	if f.forwarded.Load() > before {
		f.shared.confirmed.Store(time.Now().UnixNano())
		f.to.Good()
	}
}

// answered takes one answer.
func (f *forwarder) answered(a *ack) {
	m := f.to.flight[a.number]
	if a.err == nil && a.kind < len(f.to.kinds) {
		f.learnStored(m, f.to.kinds[a.kind])
	}
	switch {
	case m == nil: // it was settled without
	case a.err == nil && a.duplicate && !m.entry.tried:
		f.land(a.number)
		f.rename(m)
	case a.err == nil:
		delete(f.unproven, f.to.kinds[m.kind])
		f.confirm(a.number)
	case exceedsMaximum(a.err):
		f.land(a.number)
		f.refuse(m.queue, m.entry, a.err)
	case errors.Is(a.err, errNoStream) && f.confirmsAlone(m.queue.subject):
		if m.nobody = true; m.tripped {
			f.confirmUnacked(a.number)
		}
	default:
		f.holdSubject(a.number, a.err)
	}
}

// learnStored remembers that a stream stores messages like this one. m is nil for one that
// was settled before its answer came.
func (f *forwarder) learnStored(m *sending, kind string) {
	subject := kind
	if m != nil {
		subject = m.queue.subject
	}
	if f.shared.stored.has(subject) {
		return
	}
	if m != nil {
		f.rememberStored(subject)
	}
	f.acked[kind] = subject
	f.to.none, f.to.asked, f.ackedAt = false, time.Time{}, time.Now() // the list says which others
}

// rememberStored adds to the subjects that the remote stores. What could not be kept on disk
// is tried again with the next call.
func (f *forwarder) rememberStored(patterns ...string) {
	err := f.shared.stored.addPatterns(patterns...)
	if err != nil && !f.forgetful {
		f.log.Error("cannot remember which subjects the NATS server stores", "err", err)
	}
	f.forgetful = err != nil
}

// takeStreams takes which streams the remote has, and asks again while it has not said all.
func (f *forwarder) takeStreams(ctx context.Context) {
	if l := f.to.takeList(); l != nil {
		f.rememberStored(under(f.prefix, l.patterns)...)
		f.to.heard = true
		if l.asked.After(f.ackedAt) {
			f.to.none = l.err == nil
			for kind, subject := range f.acked {
				if l.err != nil || !Covers(l.patterns, subject) {
					f.rememberStored(kind)
				}
			}
			clear(f.acked)
		}
	}
	if f.forgetful && time.Since(f.retried) > savePeriod {
		f.retried = time.Now()
		f.rememberStored()
	}
	if !f.to.none && time.Since(f.to.asked) > f.timing.dead {
		f.to.listStreams(ctx, f.prefix, f.timing.sent, &f.pinging)
	}
}

// confirmsAlone reports whether a round trip confirms messages of a subject: no stream
// has ever stored one, and the remote says that it has none for them, or says nothing.
func (f *forwarder) confirmsAlone(subject string) bool {
	_, acked := f.acked[kindOf(f.prefix, subject)]
	return !acked && !f.shared.stored.has(subject) && (f.to.none || time.Since(f.to.began) > f.timing.unknown)
}

// under returns the patterns that may match subjects under a prefix.
func under(prefix string, patterns []string) (out []string) {
	first, _, _ := strings.Cut(prefix, ".")
	for _, p := range patterns {
		if token, _, _ := strings.Cut(p, "."); token == first || token == "*" || token == ">" {
			out = append(out, p)
		}
	}
	return out
}

// handedOn takes that the server has handed on all messages up to a number, but for
// those that it refused.
func (f *forwarder) handedOn(upTo uint64) {
	f.to.handled = upTo
	refusals := make(map[string]error)
	for n, m := range f.to.flight {
		if n > upTo || m.tripped {
			continue
		}
		m.tripped = true
		subject := m.queue.subject
		err, asked := refusals[subject]
		if !asked {
			err = f.to.TakeRefusal(subject)
			refusals[subject] = err
		}
		switch {
		case err != nil:
			f.land(n)
			f.refuse(m.queue, m.entry, err)
		case (m.nobody || f.to.quiet[f.to.kinds[m.kind]]) && f.confirmsAlone(subject):
			f.confirmUnacked(n)
		}
	}
}

// confirm settles a message that the remote has.
func (f *forwarder) confirm(number uint64) {
	m := f.to.flight[number]
	f.land(number)
	if m.queue.hold != free {
		if m.queue.hold == waiting {
			f.probes, f.probed = min(2*f.probes, batchMax), time.Time{}
		}
		f.queues.release(m.queue)
	}
	f.settleMessage(m.queue, m.entry)
	f.forwarded.Add(1)
}

// confirmUnacked settles a message for which a round trip has to do, since no stream
// has ever stored its like.
func (f *forwarder) confirmUnacked(number uint64) {
	kind := f.to.kinds[f.to.flight[number].kind]
	f.confirm(number)
	f.unacked.Add(1)
	f.unproven[kind] = true
	if f.class == Status && !f.warned[kind] {
		f.warned[kind] = true
		f.log.Warn("nothing confirms status changes: no stream of the NATS server has ever acknowledged one, and a message that nobody receives there is lost; "+
			"make a stream for them", "subjects", kind)
	}
}

// errNoAck is why a message waits that the remote should have acknowledged.
var errNoAck = errors.New("the NATS server has not acknowledged it, and its streams did before")

// holdSubject makes the subject of a message wait that the remote does not store at present.
func (f *forwarder) holdSubject(number uint64, err error) {
	m := f.to.flight[number]
	f.land(number)
	if m.queue.hold == waiting {
		f.probes = probeMin
	}
	f.queues.holdQueue(m.queue, m.entry, waiting, err.Error())
	f.unsaved = true
	if !f.told[waiting] {
		f.told[waiting], f.since = true, time.Now()
		f.log.Error("the NATS server does not store a message that it stored the like of before: it waits, and the others go on",
			"subject", m.queue.subject, "err", err)
	}
}

// refuse sets the messages of a subject aside that the remote will not take; of a message
// that is too large only itself, if it need not be in order.
func (f *forwarder) refuse(q *queue, e entry, err error) {
	if !q.ordered && (errors.Is(err, nats.ErrMaxPayload) || exceedsMaximum(err)) {
		f.queues.settleEntry(q)
		key := fmt.Sprintf("%s %d", q.subject, e.seq)
		f.queues.add(key, q.subject, false, entry{seq: e.seq, tried: e.tried})
		q, e = f.queues.takeFrom(key)
	}
	f.queues.holdQueue(q, e, refused, err.Error())
	f.unsaved = true
	if !f.told[refused] {
		f.told[refused] = true
		f.log.Error("the NATS server refuses a message: it is set aside, and the others go on", "subject", q.subject, "err", err)
	}
}

// rename has a message go out again under another ID: somebody else has used its own.
func (f *forwarder) rename(m *sending) {
	if f.ids == nil {
		f.ids = make(map[uint64]string)
	}
	id := f.ids[m.entry.seq]
	if id == "" {
		id = m.entry.msg.Header.Get(jetstream.MsgIDHeader)
	}
	f.ids[m.entry.seq] = id + "-" + rand.Text()[:16]
	f.duplicates.Add(1)
	f.log.Error("the NATS server had a message under the ID of a new one of ours: another node has our name, or somebody foresees our IDs; it goes out again under another ID",
		"subject", m.queue.subject, "id", id)
	f.queues.putBack(m.queue, entry{seq: m.entry.seq})
	f.writeWaiting()
}

// expire sees to messages that got no answer, and to those that wait.
func (f *forwarder) expire(ctx context.Context) {
	now := time.Now()
	for n, m := range f.to.flight {
		switch {
		case !m.tripped || now.Sub(m.at) < f.timing.sent:
		case !f.confirmsAlone(m.queue.subject):
			f.holdSubject(n, errNoAck)
		default:
			f.to.quiet[f.to.kinds[m.kind]] = true
			f.confirmUnacked(n)
		}
	}
	if f.triedOn != f.to || now.Sub(f.reviewed) > retryRefused {
		f.triedOn, f.reviewed = f.to, now
		f.queues.probe(refused, len(f.queues.queues))
	}
	if f.queues.counts[waiting] > 0 && now.Sub(f.probed) > f.timing.retry {
		f.probed = now
		f.queues.probe(waiting, f.probes)
	}
	f.dropMissing(ctx, now)
	f.giveUp(now)
	f.tellHeld()
}

// dropMissing gives up telemetry that is held, and that the stream's limit has dropped.
func (f *forwarder) dropMissing(ctx context.Context, now time.Time) {
	if f.class != Telemetry || f.queues.counts[waiting]+f.queues.counts[refused] == 0 || now.Sub(f.checked) < f.timing.retry {
		return
	}
	f.checked = now
	if info, err := f.stream.Info(ctx); err == nil {
		f.dropBefore(info.State.FirstSeq)
		f.tellLosses()
	}
}

// giveUp ends a session on which nothing is confirmed: another server may do better.
func (f *forwarder) giveUp(now time.Time) {
	if f.queues.counts[waiting] == 0 || now.Sub(f.to.began) < f.timing.stuck || now.Sub(time.Unix(0, f.shared.confirmed.Load())) < f.timing.stuck {
		return
	}
	q := f.queues.first(waiting)
	f.to.End(fmt.Errorf("confirm %s: %s", q.subject, q.reason))
}

// tellHeld logs the end of what was held.
func (f *forwarder) tellHeld() {
	for why, words := range map[hold]string{waiting: "the messages that waited for the NATS server to store them went out",
		refused: "messages that had been set aside went out"} {
		if f.told[why] && f.queues.counts[why] == 0 {
			f.told[why] = false
			f.log.Info(words)
		}
	}
}
