package agentsim

import (
	"errors"
	"net"
	"os"
	"time"
	"unique"
)

// thaw is how long a process that goes on after a stop reads what waits for it
// before it acts on the clock: the manager is not silent if its messages lie there.
const thaw = 10 * time.Millisecond

// session is one connection's conversation, and lives on its agent's goroutine.
type session struct {
	*agent
	conn   net.Conn
	deaths uint32 // of the process whose conversation it is
	seen   fate   // when obey looked last
	cuts   uint32 // cuts whose datagrams are discarded
	in     inbox

	began  time.Duration
	armed  time.Duration // the deadline for reading; 0 when unknown
	notYet time.Duration // after a stop: nothing is due before this

	held    []byte        // what the kernel would send when the network heals (TCP)
	asked   time.Duration // when the oldest keep-alive without an ack was sent; 0 without one
	waiting []answer      // answers not confirmed yet (UDP)

	receiving bool                  // a shared file: between "#!-up file" and "#!-close file"
	offered   unique.Handle[string] // that file's checksum
}

// converse holds a conversation over conn, which it closes, and says why it ended.
func (a *agent) converse(conn net.Conn, deaths uint32) (end ending) {
	now := a.fleet.now()
	s := &session{
		agent: a, conn: conn, deaths: deaths, cuts: a.look().cuts,
		in: newInbox(a.fleet.stream), began: now,
	}
	a.process.heard = now
	a.become(starting)
	a.hold(conn)
	defer func() { s.leave(end) }()
	a.fleet.tally.startups.Add(1)
	if end = s.send(s.startup); end != goOn {
		return end
	}
	for {
		if end = s.obey(); end != goOn {
			return end
		}
		var due time.Duration
		if due, end = s.act(); end != goOn {
			return end
		}
		s.arm(due)
		if end = s.read(); end != goOn {
			return end
		}
	}
}

// obey waits while the process hangs or its network is cut.
func (s *session) obey() ending {
	for {
		s.seen = s.look()
		switch {
		case s.seen.over || s.seen.deaths != s.deaths:
			return dead
		case s.seen.hung:
			<-s.wake
			s.notYet = s.fleet.now() + thaw
		case s.seen.cut:
			if end := s.outlast(); end != goOn {
				return end
			}
		default:
			s.discard()
			return s.release()
		}
	}
}

// outlast waits behind a cut network until the fate changes or something is due.
func (s *session) outlast() ending {
	due, end := s.act()
	if end != goOn {
		return end
	}
	t := time.NewTimer(due - s.fleet.now())
	defer t.Stop()
	select {
	case <-s.wake:
		s.notYet = s.fleet.now() + thaw
	case <-t.C:
	}
	return goOn
}

// act does what is due and returns when the next thing will be.
func (s *session) act() (due time.Duration, end ending) {
	now, cfg := s.fleet.now(), &s.fleet.cfg
	if now < s.notYet {
		return s.notYet, goOn
	}
	if !s.isConnected() {
		due = s.began + cfg.StartupTimeout
		if now >= due {
			return 0, unanswered
		}
		return due, goOn
	}
	due = s.process.heard + cfg.Reconnect
	if now >= due {
		return 0, silent
	}
	if now >= s.process.beat+cfg.Notify {
		if end = s.beat(); end != goOn {
			return 0, end
		}
	}
	again, end := s.repeat(now)
	return min(due, s.process.beat+cfg.Notify, again), end
}

// arm lets the next read give up at the given time. If the fate has changed
// since obey looked, the interrupt stays in place, and that read gives up at once.
func (s *session) arm(due time.Duration) {
	if due == s.armed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fate == s.seen {
		s.conn.SetReadDeadline(s.fleet.at(due))
		s.armed = due
	}
}

// read waits for messages and takes what has come.
func (s *session) read() ending {
	n, err := s.conn.Read(s.in.space())
	switch {
	case err == nil && !s.fleet.stream && s.look().cuts != s.cuts:
		return goOn // a datagram read just as the network was cut
	case err == nil:
		return s.take(n)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.armed = 0
		return goOn
	}
	return s.broken()
}

// leave ends the conversation, with a goodbye if the process was told to stop in order.
func (s *session) leave(end ending) {
	var goodbye []byte
	if end == dead && s.isConnected() && s.look().goodbye {
		goodbye = s.encode(s.farewell)
	}
	s.part(goodbye)
}
