package outbox

import (
	"context"
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

// catchUp tells what was made up for, once all of it is.
func (f *forwarder) catchUp() {
	g := f.gap
	if g.since.IsZero() || f.behind() > 0 {
		return
	}
	f.gap = gap{}
	n, after := f.forwarded.Load()-g.forwarded, time.Since(g.since)
	if n == 0 {
		return
	}
	f.caughtUp.Add(n)
	f.log.Info("caught up with the NATS server", "messages", n, "after", after.Round(time.Millisecond).String())
	if f.tell != nil {
		f.tell(f.class, n, after)
	}
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
