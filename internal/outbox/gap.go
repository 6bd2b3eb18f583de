package outbox

import "time"

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

// giveWay reports whether something else goes first, but not for ever: the remote
// may be slow to take that alone.
func (f *forwarder) giveWay() bool {
	if f.first == nil || !f.first.urgent() {
		f.yielding = time.Time{}
		return false
	}
	if f.yielding.IsZero() {
		f.yielding = time.Now()
	}
	if time.Since(f.yielding) < f.timing.sent {
		return true
	}
	f.yielding = time.Time{}
	return false
}

// urgent reports whether there is something that could be sent now. It may be
// called concurrently.
func (f *forwarder) urgent() bool {
	s := f.state.Load()
	return s.ready > 0 || !s.full && f.from.tail.last() > s.read
}

// behind is how many messages are neither settled nor held.
func (f *forwarder) behind() uint64 {
	return f.from.tail.last() - min(f.from.read, f.from.tail.last()) + uint64(f.queues.counts[free])
}
