package agentsim

import (
	"errors"
	"net"
	"os"
	"time"
	"unique"
)

// resumeDelay is how long a process that resumes reads waiting messages before
// it acts on its timeouts: the manager is not silent if its messages are in
// the socket.
const resumeDelay = 10 * time.Millisecond

// session is one connection's session. Only the agent's goroutine uses it.
type session struct {
	*agent
	conn  net.Conn
	ended uint32    // lifecycle.ended when the session's process started
	seen  lifecycle // the lifecycle that waitUntilRunnable read last
	cuts  uint32    // lifecycle.cuts whose datagrams are discarded
	in    frameBuffer

	began    time.Duration
	deadline time.Duration // the deadline for reading; 0 when unknown
	resumeAt time.Duration // after a stop, nothing is due before this time

	held         []byte          // what the kernel would send when the network is back (TCP)
	unackedSince time.Duration   // when the oldest keep-alive without an ack was sent; 0 without one
	waiting      []pendingAnswer // answers not confirmed yet (UDP)

	receiving bool                  // a shared file: between "#!-up file" and "#!-close file"
	offered   unique.Handle[string] // that file's checksum
}

// runSession runs a session over conn, which it closes, and returns the reason
// for its end.
func (a *agent) runSession(conn net.Conn, deaths uint32) (end endReason) {
	now := a.fleet.elapsed()
	s := &session{
		agent: a, conn: conn, ended: deaths, cuts: a.currentLifecycle().cuts,
		in: newFrameBuffer(a.fleet.stream), began: now,
	}
	a.process.lastReceived = now
	a.setStage(starting)
	a.setConn(conn)
	defer func() { s.endSession(end) }()
	a.fleet.counters.startups.Add(1)
	if end = s.sendMessage(s.appendStartup); end != notEnded {
		return end
	}
	for {
		if end = s.waitUntilRunnable(); end != notEnded {
			return end
		}
		var due time.Duration
		if due, end = s.doDueWork(); end != notEnded {
			return end
		}
		s.setReadDeadline(due)
		if end = s.readMessages(); end != notEnded {
			return end
		}
	}
}

// waitUntilRunnable waits while the process hangs or its network is cut.
func (s *session) waitUntilRunnable() endReason {
	for {
		s.seen = s.currentLifecycle()
		switch {
		case s.seen.over || s.seen.ended != s.ended:
			return processEnded
		case s.seen.hung:
			<-s.wake
			s.resumeAt = s.fleet.elapsed() + resumeDelay
		case s.seen.cut:
			if end := s.waitWhileCut(); end != notEnded {
				return end
			}
		default:
			s.discardDatagrams()
			return s.sendHeld()
		}
	}
}

// waitWhileCut waits while the network is cut, until the lifecycle changes or
// something is due.
func (s *session) waitWhileCut() endReason {
	due, end := s.doDueWork()
	if end != notEnded {
		return end
	}
	t := time.NewTimer(due - s.fleet.elapsed())
	defer t.Stop()
	select {
	case <-s.wake:
		s.resumeAt = s.fleet.elapsed() + resumeDelay
	case <-t.C:
	}
	return notEnded
}

// doDueWork does what is due and returns the time of the next thing.
func (s *session) doDueWork() (due time.Duration, end endReason) {
	now, cfg := s.fleet.elapsed(), &s.fleet.cfg
	if now < s.resumeAt {
		return s.resumeAt, notEnded
	}
	if !s.isConnected() {
		due = s.began + cfg.StartupTimeout
		if now >= due {
			return 0, unanswered
		}
		return due, notEnded
	}
	due = s.process.lastReceived + cfg.Reconnect
	if now >= due {
		return 0, silent
	}
	if now >= s.process.lastKeepAlive+cfg.Notify {
		if end = s.sendKeepAlive(); end != notEnded {
			return 0, end
		}
	}
	again, end := s.repeatAnswers(now)
	return min(due, s.process.lastKeepAlive+cfg.Notify, again), end
}

// setReadDeadline sets the deadline of the next read. If the lifecycle has
// changed since waitUntilRunnable read it, the expired deadline stays and that
// read returns at once.
func (s *session) setReadDeadline(due time.Duration) {
	if due == s.deadline {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lifecycle == s.seen {
		s.conn.SetReadDeadline(s.fleet.wallTime(due))
		s.deadline = due
	}
}

// readMessages waits for messages and handles them.
func (s *session) readMessages() endReason {
	n, err := s.conn.Read(s.in.freeSpace())
	switch {
	case err == nil && !s.fleet.stream && s.currentLifecycle().cuts != s.cuts:
		return notEnded // a datagram read just as the network was cut
	case err == nil:
		return s.handleRead(n)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.deadline = 0
		return notEnded
	}
	return s.brokenReason()
}

// endSession closes the connection, with a shutdown message if the process
// ended in order.
func (s *session) endSession(end endReason) {
	var goodbye []byte
	if end == processEnded && s.isConnected() && s.currentLifecycle().shutdown {
		goodbye = s.encodeMessage(s.appendShutdown)
	}
	s.closeConn(goodbye)
}
