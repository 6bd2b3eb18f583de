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
// say something every ten seconds are then no ten thousand stacks, which would have to
// be held and, in each collection of garbage, scanned. It is an epoll(7) instance.
type poller struct {
	epoll *os.File // itself waited for by Go's runtime, so that waiting holds no thread
	raw   syscall.RawConn

	mu     sync.Mutex
	conns  []*conn // by file descriptor; all that are open
	closed bool

	timedMu sync.Mutex
	timed   map[*conn]struct{} // all that have a deadline, and some that had
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // tells os.NewFile that it can be waited for
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

// close ends wait.
func (p *poller) close() { _ = p.epoll.Close() }

// wait returns a function that fills events with what is ready, and waits until
// something is. It is an error when the poller is closed.
func (p *poller) wait(events []unix.EpollEvent) func() (int, error) {
	var n int
	var failed error
	look := func(fd uintptr) bool {
		for {
			// Not to wait for more after EINTR: what is ready already is not told again.
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

// add takes a connection in, and waits for what it says.
func (p *poller) add(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	for len(p.conns) <= c.out.fd {
		p.conns = append(p.conns, nil)
	}
	p.conns[c.out.fd] = c
	return p.control(unix.EPOLL_CTL_ADD, c.out.fd, wanted(false))
}

// pause waits for a connection no longer. It stays in, and is the caller's until
// resume succeeds.
func (p *poller) pause(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.paused = true
	_ = p.control(unix.EPOLL_CTL_DEL, c.out.fd, 0)
}

// resume waits for it again.
func (p *poller) resume(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	c.paused = false
	c.out.mu.Lock() // from here on, the outlet itself says what it waits for
	defer c.out.mu.Unlock()
	return p.control(unix.EPOLL_CTL_ADD, c.out.fd, wanted(len(c.out.kept) > 0))
}

// wanted are the events of a connection.
func wanted(writable bool) uint32 {
	if writable {
		return unix.EPOLLIN | unix.EPOLLOUT
	}
	return unix.EPOLLIN
}

// writable waits also until a connection takes more, or not any more.
func (p *poller) writable(c *conn, on bool) {
	_ = p.control(unix.EPOLL_CTL_MOD, c.out.fd, wanted(on)) // one that is paused asks when it goes on
}

func (p *poller) control(op, fd int, events uint32) (err error) {
	wrapped := p.raw.Control(func(epoll uintptr) {
		err = unix.EpollCtl(int(epoll), op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	})
	if wrapped != nil {
		return wrapped
	}
	return err
}

// of returns the connection of an event.
func (p *poller) of(e *unix.EpollEvent) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[e.Fd] // one that was added
}

// remove lets go of a connection that is about to be closed.
func (p *poller) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd := c.out.fd; fd < len(p.conns) && p.conns[fd] == c {
		p.conns[fd] = nil
	}
}

// last takes no more connections, and returns those that are open and not paused.
func (p *poller) last() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return slices.DeleteFunc(slices.Clone(p.conns), func(c *conn) bool { return c == nil || c.paused })
}

// time looks after a connection that has got a deadline.
func (p *poller) time(c *conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	p.timed[c] = struct{}{}
}

// late returns the connections whose deadline has passed, and forgets those that
// have none any more: nearly all have none nearly always.
func (p *poller) late(now time.Time) (late []*conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	for c := range p.timed {
		switch {
		case c.in.late(now), c.out.late(now):
			late = append(late, c)
		case c.in.due.Load() == 0 && c.out.stuck.Load() == 0:
			delete(p.timed, c)
		}
	}
	return late
}

// untime forgets a connection that is closed.
func (p *poller) untime(c *conn) {
	p.timedMu.Lock()
	defer p.timedMu.Unlock()
	delete(p.timed, c)
}
