package listen

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for many connections with one goroutine: ten thousand agents that
// send something every ten seconds need no ten thousand stacks, which take memory
// and are scanned in each garbage collection. It is an epoll(7) instance.
type poller struct {
	epoll *os.File // polled by Go's runtime, so that waiting blocks no thread
	raw   syscall.RawConn

	mu     sync.Mutex
	conns  []*conn // open connections, by file descriptor
	closed bool

	timedMu sync.Mutex
	timed   map[*conn]struct{} // connections that have a deadline, or had one
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // makes os.NewFile use the runtime's poller
	}
	if err != nil {
		return nil, fmt.Errorf("wait for agents: %w", err)
	}
	p := &poller{epoll: os.NewFile(uintptr(fd), "epoll"), timed: make(map[*conn]struct{})}
	if p.raw, err = p.epoll.SyscallConn(); err != nil {
		_ = p.epoll.Close()
		return nil, fmt.Errorf("wait for agents: %w", err)
	}
	return p, nil
}

func (p *poller) close() { _ = p.epoll.Close() }

// newWaiter returns a function that waits until connections are ready and fills events
// with them. It returns an error once the poller is closed.
func (p *poller) newWaiter(events []unix.EpollEvent) func() (int, error) {
	var n int
	var failed error
	look := func(fd uintptr) bool {
		for {
			// Retried after EINTR: the runtime does not report again what was ready already.
			if n, failed = unix.EpollWait(int(fd), events, 0); failed != unix.EINTR {
				return n > 0 || failed != nil
			}
		}
	}
	return func() (int, error) {
		if err := p.raw.Read(look); err != nil {
			return 0, err
		}
		return n, failed
	}
}

// addConn adds a connection and waits for its input.
func (p *poller) addConn(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	for len(p.conns) <= c.writer.fd {
		p.conns = append(p.conns, nil)
	}
	p.conns[c.writer.fd] = c
	return p.changeEpollEvents(unix.EPOLL_CTL_ADD, c.writer.fd, epollEvents(false))
}

// pauseConn stops waiting for a connection. The connection stays in the poller, and
// belongs to the caller until resumeConn succeeds.
func (p *poller) pauseConn(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.paused = true
	_ = p.changeEpollEvents(unix.EPOLL_CTL_DEL, c.writer.fd, 0)
}

// resumeConn waits for a paused connection again.
func (p *poller) resumeConn(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	c.paused = false
	c.writer.mu.Lock() // from here on, setWaiting has its effect
	defer c.writer.mu.Unlock()
	return p.changeEpollEvents(unix.EPOLL_CTL_ADD, c.writer.fd, epollEvents(len(c.writer.pending) > 0))
}

func epollEvents(writable bool) uint32 {
	if writable {
		return unix.EPOLLIN | unix.EPOLLOUT
	}
	return unix.EPOLLIN
}

// setWaitWritable starts or stops waiting until a connection is writable.
func (p *poller) setWaitWritable(c *conn, on bool) {
	_ = p.changeEpollEvents(unix.EPOLL_CTL_MOD, c.writer.fd, epollEvents(on)) // fails for a paused connection, which resumeConn handles
}

func (p *poller) changeEpollEvents(op, fd int, events uint32) (err error) {
	wrapped := p.raw.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	if wrapped != nil {
		return wrapped
	}
	return err
}

// connOfEvent returns the connection of an event, nil if it was removed.
func (p *poller) connOfEvent(e *unix.EpollEvent) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[e.Fd]
}

// removeConn removes a connection that is about to be closed.
func (p *poller) removeConn(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd := c.writer.fd; fd < len(p.conns) && p.conns[fd] == c {
		p.conns[fd] = nil
	}
}

// stopAddingConns closes the poller to new connections, and returns those that are open and not paused.
func (p *poller) stopAddingConns() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return slices.DeleteFunc(slices.Clone(p.conns), func(c *conn) bool { return c == nil || c.paused })
}

// trackConnDeadline adds a connection to those checked for a passed deadline.
func (p *poller) trackConnDeadline(c *conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	p.timed[c] = struct{}{}
}

// overdueConns returns the connections whose deadline has passed, and stops tracking
// those without a deadline, which at any time are nearly all.
func (p *poller) overdueConns(now time.Time) (late []*conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	for c := range p.timed {
		switch {
		case c.reader.isPastDeadline(now), c.writer.isStuck(now):
			late = append(late, c)
		case c.reader.deadline.Load() == 0 && c.writer.stuckSince.Load() == 0:
			delete(p.timed, c)
		}
	}
	return late
}

// untrackConnDeadline removes a closed connection from those checked.
func (p *poller) untrackConnDeadline(c *conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	delete(p.timed, c)
}

// maxEvents bounds the ready connections that one wait returns.
const maxEvents = 256

// servePoller serves the connections of a poller until it is closed, and then closes them.
func (l *Link) servePoller(p *poller) {
	events, buffer := make([]unix.EpollEvent, maxEvents), make([]byte, readBufferSize)
	wait := p.newWaiter(events)
	for {
		n, err := wait()
		if err != nil {
			break
		}
		for i := range events[:n] {
			if c := p.connOfEvent(&events[i]); c != nil {
				l.handleConnEvents(c, events[i].Events, buffer)
			}
		}
	}
	for _, c := range p.stopAddingConns() {
		l.closeConn(c, net.ErrClosed)
	}
}

// handleConnEvents writes to or reads from a connection that is ready.
func (l *Link) handleConnEvents(c *conn, events uint32, buffer []byte) {
	err := l.containPanic(c.from, func() error {
		if events&unix.EPOLLOUT != 0 {
			c.writer.flushPendingOutput()
		}
		if events&^unix.EPOLLOUT == 0 {
			return nil
		}
		return l.readConn(c, buffer)
	})
	if err != nil && err != errPaused {
		l.closeConn(c, err)
	}
}

// deadlinePeriod is the time between two checks for passed deadlines, and so the most
// by which a connection ends late.
const deadlinePeriod = time.Second

// watchConnDeadlines ends connections whose deadline has passed, until stop is closed.
func (l *Link) watchConnDeadlines(stop <-chan struct{}) {
	tick := time.NewTicker(deadlinePeriod)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) < 2*deadlinePeriod { // else this process was stopped meanwhile
			l.endOverdueConns(now)
		}
		last = now
	}
}

func (l *Link) endOverdueConns(now time.Time) {
	for _, p := range l.pollers {
		for _, c := range p.overdueConns(now) {
			why := errSlow
			if c.reader.isPastDeadline(now) {
				why = errLate
				if c.reader.questioned.Load() {
					why = errUnanswered
				}
			}
			_ = l.containPanic(c.from, func() error { c.writer.endConn(why); return nil })
		}
	}
}
