package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errNoAck is why a message waits that the remote should have acknowledged.
var errNoAck = errors.New("the NATS server has not acknowledged it, and its streams did before")

// holdSubject holds the subject of a message that the remote does not store at present.
func (f *forwarder) holdSubject(number uint64, err error) {
	m := f.sender.flight[number]
	f.removeFromFlight(number)
	if m.queue.hold == waiting {
		f.probes = probeMin
	}
	f.queues.holdQueue(m.queue, m.entry, waiting, err.Error())
	f.unsaved = true
	if !f.logged[waiting] {
		f.logged[waiting], f.since = true, time.Now()
		f.log.Error("the NATS server does not store a message that it stored the like of before: it waits, and the others go on",
			"subject", m.queue.subject, "err", err)
	}
}

// setSubjectAside sets the messages of a subject aside that the remote refuses. Of a message
// that is too large it sets aside only itself, if it need not be in order.
func (f *forwarder) setSubjectAside(q *queue, e entry, err error) {
	if !q.ordered && (errors.Is(err, nats.ErrMaxPayload) || exceedsStreamLimit(err)) {
		f.queues.settleEntry(q)
		key := fmt.Sprintf("%s %d", q.subject, e.seq)
		f.queues.addMessage(key, q.subject, false, entry{seq: e.seq, tried: e.tried})
		q, e = f.queues.takeFrom(key)
	}
	f.queues.holdQueue(q, e, refused, err.Error())
	f.unsaved = true
	if !f.logged[refused] {
		f.logged[refused] = true
		f.log.Error("the NATS server refuses a message: it is set aside, and the others go on", "subject", q.subject, "err", err)
	}
}

// sendUnderNewID sends a message again under another ID: another publisher has used its own.
func (f *forwarder) sendUnderNewID(m *sending) {
	if f.ids == nil {
		f.ids = make(map[uint64]string)
	}
	id := f.ids[m.entry.seq]
	if id == "" {
		id = m.entry.msg.Header.Get(jetstream.MsgIDHeader)
	}
	f.ids[m.entry.seq] = id + "-" + rand.Text()[:16]
	f.duplicates.Add(1)
	if skipped, ok := f.renames.Allow(); ok {
		f.log.Error("the NATS server had a message under the ID of a new one of ours: another node has our name, or somebody foresees our IDs; it goes out again under another ID",
			"subject", m.queue.subject, "id", id, "more", skipped)
	}
	f.queues.putBack(m.queue, entry{seq: m.entry.seq})
	f.writeWaitingFile()
}

// expireMessages handles messages that got no answer, and those that wait.
func (f *forwarder) expireMessages(ctx context.Context) {
	now := time.Now()
	for n, m := range f.sender.flight {
		switch {
		case !m.tripped || now.Sub(m.at) < f.timing.confirm:
		case !f.roundTripConfirms(m.queue.subject):
			m.entry.tried = true
			f.holdSubject(n, errNoAck)
		default:
			f.sender.unanswered[f.sender.kinds[m.kind]] = true
			f.confirmByRoundTrip(n)
		}
	}
	if f.reviewedOn != f.sender || now.Sub(f.reviewed) > retryRefused {
		f.reviewedOn, f.reviewed = f.sender, now
		f.queues.probeQueues(refused, len(f.queues.queues))
	}
	if f.queues.counts[waiting] > 0 && now.Sub(f.probed) > f.timing.retry {
		f.probed = now
		f.queues.probeQueues(waiting, f.probes)
	}
	f.dropMissingTelemetry(ctx, now)
	f.endStuckSession(now)
	f.logReleased()
}

// dropMissingTelemetry settles held telemetry that the stream's limit has dropped.
func (f *forwarder) dropMissingTelemetry(ctx context.Context, now time.Time) {
	if f.class != Telemetry || f.queues.counts[waiting]+f.queues.counts[refused] == 0 || now.Sub(f.missingChecked) < f.timing.retry {
		return
	}
	f.missingChecked = now
	if info, err := f.stream.Info(ctx); err == nil {
		f.dropMessagesBefore(info.State.FirstSeq)
		f.logLosses()
	}
}

// endStuckSession ends a session on which nothing is confirmed: another server may store more.
func (f *forwarder) endStuckSession(now time.Time) {
	if f.queues.counts[waiting] == 0 || now.Sub(f.sender.began) < f.timing.stuck || now.Sub(time.Unix(0, f.shared.confirmed.Load())) < f.timing.stuck {
		return
	}
	q := f.queues.firstHeldQueue(waiting)
	f.sender.End(fmt.Errorf("confirm %s: %s", q.subject, q.reason))
}

// logReleased logs when nothing is held any more.
func (f *forwarder) logReleased() {
	for why, words := range map[hold]string{waiting: "the messages that waited for the NATS server to store them went out",
		refused: "messages that had been set aside went out"} {
		if f.logged[why] && f.queues.counts[why] == 0 {
			f.logged[why] = false
			f.log.Info(words)
		}
	}
}
