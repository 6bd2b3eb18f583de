package listen

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// eventsMax is how many connections are told of at a time.
const eventsMax = 256

// serve hears the connections of a poller until it is closed, and then closes them.
func (l *Link) serve(p *poller) {
	events, buffer := make([]unix.EpollEvent, eventsMax), make([]byte, bufferSize)
	wait := p.wait(events)
	for {
		n, err := wait()
		if err != nil {
			break
		}
		for i := range events[:n] {
			if c := p.of(&events[i]); c != nil {
				l.attend(c, events[i].Events, buffer)
			}
		}
	}
	for _, c := range p.last() {
		l.finish(c, net.ErrClosed)
	}
}

// attend does what a connection is ready for.
func (l *Link) attend(c *conn, events uint32, buffer []byte) {
	err := l.containPanic(c.from, func() error {
		if events&unix.EPOLLOUT != 0 {
			c.out.drain()
		}
		if events&^unix.EPOLLOUT == 0 {
			return nil
		}
		return l.turn(c, buffer)
	})
	if err != nil && err != errPaused {
		l.finish(c, err)
	}
}

// watchPeriod is the time between two looks for connections that are late, and so
// the most that each is given beyond its time.
const watchPeriod = time.Second

// watch ends connections that are late, until stop is closed.
func (l *Link) watch(stop <-chan struct{}) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) < 2*watchPeriod { // else it is this process that was late
			l.endLate(now)
		}
		last = now
	}
}

func (l *Link) endLate(now time.Time) {
	for _, p := range l.pollers {
		for _, c := range p.late(now) {
			why := errSlow
			if c.in.late(now) {
				why = errLate
				if c.in.asked.Load() {
					why = errUnanswered
				}
			}
			_ = l.containPanic(c.from, func() error { c.out.end(why); return nil })
		}
	}
}
