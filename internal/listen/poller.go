package listen

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/rawio"
	"golang.org/x/sys/unix"
)

// poller waits for many connections with one goroutine: ten thousand agents that
// send something every ten seconds need no ten thousand stacks, which take memory
// and are scanned in each garbage collection.
//
// It has two epoll(7) instances: one of all connections, and the gate, which is ready when
// that one is. While many messages arrive it is ready at each tick of a timer instead, so
// that those that arrive in between wake nobody.
type poller struct {
	epoll     *os.File
	gate      *os.File // polled by Go's runtime, so that waiting blocks no thread
	raw       syscall.RawConn
	rawGate   syscall.RawConn
	ticker    *os.File
	rawTicker syscall.RawConn
	gathering bool // the gate waits for a tick; the reader's, as are load and events
	load      loadMeter
	events    [maxEvents]unix.EpollEvent

	mu     sync.Mutex
	conns  []*conn // open connections, by file descriptor
	closed bool

	timedMu sync.Mutex
	timed   map[*conn]struct{} // connections that have a deadline, or had one
}

func newPoller() (*poller, error) {
	p := &poller{timed: make(map[*conn]struct{})}
	err := p.openEpoll()
	if err != nil {
		p.close()
		return nil, fmt.Errorf("wait for agents: %w", err)
	}
	return p, nil
}

func (p *poller) openEpoll() (err error) {
	if p.epoll, p.raw, err = createEpoll("epoll", false); err != nil {
		return err
	}
	if p.gate, p.rawGate, err = createEpoll("gate", true); err != nil {
		return err
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	p.ticker = os.NewFile(uintptr(fd), "ticker")
	if p.rawTicker, err = p.ticker.SyscallConn(); err != nil {
		return err
	}
	return errors.Join(changeEpollEvents(p.rawGate, unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN),
		changeEpollEvents(p.rawGate, unix.EPOLL_CTL_ADD, int(p.epoll.Fd()), unix.EPOLLIN))
}

// createEpoll creates an epoll instance. Go's runtime polls it if it is non-blocking.
func createEpoll(name string, nonBlocking bool) (*os.File, syscall.RawConn, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil && nonBlocking {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, os.NewSyscallError("epoll_create1", err)
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	return file, raw, err
}

func (p *poller) close() {
	for _, f := range []*os.File{p.gate, p.epoll, p.ticker} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// gatherTime is for how long the messages of many agents are gathered before they are read,
// and so the most by which an acknowledgement is late for that. To be woken costs more than
// to read and answer a message.
const gatherTime = 5 * time.Millisecond

// waitForEvents returns which connections are ready, when some are. It returns an error once
// the poller is closed.
func (p *poller) waitForEvents() ([]unix.EpollEvent, error) {
	var n int
	var failed error
	err := p.rawGate.Read(func(uintptr) bool {
		n, failed = p.pollEvents()
		if n > 0 || failed != nil {
			return true
		}
		failed = p.setGathering(p.load.isBusy(time.Now())) // a connection that is ready by now wakes it at once
		return failed != nil
	})
	p.load.addEvents(n)
	return p.events[:n], cmp.Or(err, failed)
}

// pollEvents fills events with those that are ready now.
func (p *poller) pollEvents() (n int, err error) {
	closed := p.raw.Control(func(epoll uintptr) { n, err = rawio.PollEvents(int(epoll), p.events[:]) })
	return n, cmp.Or(closed, err)
}

// setGathering has the gate wait for one tick of the timer, or for the connections.
func (p *poller) setGathering(on bool) (err error) {
	if on {
		tick := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(gatherTime))}
		closed := p.rawTicker.Control(func(fd uintptr) { err = unix.TimerfdSettime(int(fd), 0, &tick, nil) })
		if err = cmp.Or(closed, err); err != nil {
			return err
		}
	}
	if p.gathering == on {
		return nil
	}
	p.gathering = on
	events := uint32(unix.EPOLLIN)
	if on {
		events = 0
	}
	closed := p.raw.Control(func(epoll uintptr) { err = changeEpollEvents(p.rawGate, unix.EPOLL_CTL_MOD, int(epoll), events) })
	return cmp.Or(closed, err)
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
	return changeEpollEvents(p.raw, unix.EPOLL_CTL_ADD, c.writer.fd, epollEvents(false))
}

// pauseConn stops waiting for a connection. The connection stays in the poller, and
// belongs to the caller until resumeConn succeeds.
func (p *poller) pauseConn(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.paused = true
	_ = changeEpollEvents(p.raw, unix.EPOLL_CTL_DEL, c.writer.fd, 0)
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
	return changeEpollEvents(p.raw, unix.EPOLL_CTL_ADD, c.writer.fd, epollEvents(len(c.writer.pending) > 0))
}

func epollEvents(writable bool) uint32 {
	if writable {
		return unix.EPOLLIN | unix.EPOLLOUT
	}
	return unix.EPOLLIN
}

// setWaitWritable starts or stops waiting until a connection is writable.
func (p *poller) setWaitWritable(c *conn, on bool) {
	_ = changeEpollEvents(p.raw, unix.EPOLL_CTL_MOD, c.writer.fd, epollEvents(on)) // fails for a paused connection, which resumeConn handles
}

// changeEpollEvents changes what an epoll instance waits for.
func changeEpollEvents(raw syscall.RawConn, op, fd int, events uint32) (err error) {
	wrapped := raw.Control(func(epoll uintptr) {
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

// minShare is how many ready connections are worth another goroutine.
const minShare = 32

// servePoller serves the connections of the poller until it is closed, and then closes them.
func (l *Link) servePoller() {
	p := l.poller
	buffers := make([][]byte, min(runtime.GOMAXPROCS(0), maxEvents/minShare))
	for {
		events, err := p.waitForEvents()
		if err != nil {
			break
		}
		l.handleEvents(events, buffers)
	}
	for _, c := range p.stopAddingConns() {
		l.closeConn(c, net.ErrClosed)
	}
}

// handleEvents handles the events of connections, with as many goroutines as there are
// buffers if they are many.
func (l *Link) handleEvents(events []unix.EpollEvent, buffers [][]byte) {
	workers := min(len(buffers), (len(events)+minShare-1)/minShare)
	var working sync.WaitGroup
	for w := range workers {
		if buffers[w] == nil {
			buffers[w] = make([]byte, readBufferSize)
		}
		share := events[len(events)*w/workers : len(events)*(w+1)/workers]
		if w == workers-1 {
			l.handleShare(share, buffers[w])
			break
		}
		working.Go(func() { l.handleShare(share, buffers[w]) })
	}
	working.Wait()
}

func (l *Link) handleShare(events []unix.EpollEvent, buffer []byte) {
	for i := range events {
		if c := l.poller.connOfEvent(&events[i]); c != nil {
			l.handleConnEvents(c, events[i].Events, buffer)
		}
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
	for _, c := range l.poller.overdueConns(now) {
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
