package outbox

import (
	"context"
	"log/slog"
	"time"
)

// gap is the time in which the remote confirmed nothing, and after which there is
// something to catch up with.
type gap struct {
	since     time.Time // zero for none
	forwarded uint64    // before
}

func (g *gap) begin(at time.Time, forwarded uint64) {
	if g.since.IsZero() {
		*g = gap{at, forwarded}
	}
}

// end tells what was made up for, once all of it is.
func (g *gap) end(log *slog.Logger, forwarded uint64) {
	if g.since.IsZero() {
		return
	}
	log.Info("caught up with the NATS server", "messages", forwarded-g.forwarded, "after", time.Since(g.since).Round(time.Millisecond).String())
	*g = gap{}
}

// glance is the time between two looks at whether another forwarder has caught up.
const glance = 5 * time.Millisecond

// giveWay waits while there is something that goes first, but not for ever: the
// remote may refuse that alone.
func (f *forwarder) giveWay(ctx context.Context) {
	if f.first == nil {
		return
	}
	for began := time.Now(); f.first.behind() > 0 && time.Since(began) < f.timing.sent && ctx.Err() == nil; {
		pause(ctx, glance)
	}
}

// behind is how many messages are stored and not settled yet.
func (f *forwarder) behind() uint64 {
	end := f.from.tail.last()
	return end - min(f.from.Confirmed(), end)
}

// lossPeriod is the time between two words about losses.
const lossPeriod = time.Minute

// losses counts messages that went from the stream before they could be sent, and
// tells of them now and then.
type losses struct {
	read   uint64 // the last message that was read
	unsaid uint64
	said   time.Time
}

// count looks for sequences that are missing in what was read. Only the stream's
// limit removes any.
func (f *forwarder) count(batch []Stored) {
	l := &f.losses
	for _, m := range batch {
		n := m.Seq - l.read - 1
		f.dropped.Add(n)
		l.unsaid += n
		l.read = m.Seq
	}
	if l.unsaid > 0 && time.Since(l.said) > lossPeriod {
		f.log.Error("messages were dropped before they could be forwarded: the stream is as large as it may be (<pulse><telemetry_limit>)",
			"dropped", l.unsaid, "in_all", f.dropped.Load())
		l.unsaid, l.said = 0, time.Now()
	}
}
