package outbox

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// outage is the time in which the remote confirmed nothing, and after which there is
// something to catch up with.
type outage struct {
	since     time.Time // zero for none
	forwarded uint64    // before
}

func (g *outage) beginOutage(at time.Time, forwarded uint64) {
	if g.since.IsZero() {
		*g = outage{at, forwarded}
	}
}

// endOutage reports how many messages were caught up with, once all are.
func (f *forwarder) endOutage() {
	g := f.outage
	if g.since.IsZero() || f.countBehind() > 0 {
		return
	}
	f.outage = outage{}
	n, after := f.forwarded.Load()-g.forwarded, time.Since(g.since)
	if n == 0 {
		return
	}
	f.caughtUp.Add(n)
	f.log.Info("caught up with the NATS server", "messages", n, "after", after.Round(time.Millisecond).String())
	if f.onCaughtUp != nil {
		f.onCaughtUp(f.class, n, after)
	}
}

// countBehind is how many messages are neither settled nor held.
func (f *forwarder) countBehind() uint64 {
	return f.reader.recent.lastSequence() - min(f.reader.read, f.reader.recent.lastSequence()) + uint64(f.queues.counts[free])
}

// lossCounter counts messages that went from the stream before they could be sent, and
// logs them now and then.
type lossCounter struct {
	seen     uint64 // up to here, each was read or is counted as lost
	unlogged uint64
	log      logonce.Limiter
}

// countMissing counts sequences that are missing in what was read. Only the stream's
// limit removes any. STATUS has none: what is missing there was damaged, which Open
// has logged.
func (f *forwarder) countMissing(batch []Stored) {
	if f.class != Telemetry {
		return
	}
	for _, m := range batch {
		f.addLost(m.Seq)
		f.losses.seen = m.Seq
	}
	f.logLosses()
}

// countDroppedMeanwhile counts what the stream dropped since, while nothing can be sent and so
// nothing is read, so that the loss shows during a long outage and not only after it.
func (f *forwarder) countDroppedMeanwhile(ctx context.Context) {
	if f.class != Telemetry || f.reader.recent.firstSequence() <= f.losses.seen+1 { // nothing is dropped, or what comes next is in memory
		return
	}
	info, err := f.stream.Info(ctx)
	if err != nil { // it is checked again
		return
	}
	f.addLost(info.State.FirstSeq)
	f.dropMessagesBefore(info.State.FirstSeq)
	f.logLosses()
}

// addLost counts those before first, the next that is there, as lost.
func (f *forwarder) addLost(first uint64) {
	l := &f.losses
	if first <= l.seen+1 {
		return
	}
	n := first - l.seen - 1
	f.dropped.Add(n)
	l.unlogged += n
	l.seen = first - 1
}

func (f *forwarder) logLosses() {
	l := &f.losses
	if l.unlogged == 0 {
		return
	}
	if _, ok := l.log.Allow(); !ok {
		return
	}
	f.log.Error("messages were dropped before they could be forwarded: the stream is as large as it may be (<pulse><telemetry_limit>)",
		"dropped", l.unlogged, "in_all", f.dropped.Load())
	l.unlogged = 0
}
