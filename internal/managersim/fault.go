package managersim

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"
)

// Fault is the misbehaviour of a socket. The zero value means none.
type Fault struct {
	Delay time.Duration // before each answer
	Kind  FaultKind
}

// FaultKind is what happens to an answer.
type FaultKind uint8

const (
	Sound     FaultKind = iota // it is sent
	Silent                     // it is not sent, and the connection stays open
	HungUp                     // it is not sent, and the connection is closed
	Half                       // half of it is sent, and the connection is closed
	Stalled                    // half of it is sent, and the connection stays open
	Oversized                  // it has a length of almost 4 GiB before it
	Garbled                    // its bytes are noise
)

// Socket is a socket that can misbehave.
type Socket uint8

const (
	RequestSocket  Socket = iota // remoted's, for requests to agents
	DatabaseSocket               // wazuh-db's
	socketCount
)

// faults are the present faults of the sockets.
type faults [socketCount]atomic.Pointer[Fault]

// Misbehave makes a socket misbehave from the next answer on; a zero Fault
// ends it.
func (m *Manager) Misbehave(s Socket, f Fault) { m.faults[s].Store(&f) }

// writeAnswers writes answers to conn, subject to the socket's fault. It
// returns false when the connection is of no more use.
func (m *Manager) writeAnswers(s Socket, d *daemon, conn net.Conn, answers ...[]byte) bool {
	var f Fault
	if now := m.faults[s].Load(); now != nil {
		f = *now
	}
	if f.Delay > 0 {
		wait := time.NewTimer(f.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-d.quit:
			return false
		}
	}
	var b []byte
	for _, a := range answers {
		b = appendFrame(b, a)
	}
	switch f.Kind {
	case Silent:
		b = nil
	case HungUp:
		return false
	case Half, Stalled:
		b = b[:len(b)/2]
	case Oversized:
		binary.LittleEndian.PutUint32(b, 0xfffffff0)
	case Garbled:
		for i := range b[4:] {
			b[4+i] = byte(i*7 + 1)
		}
	}
	m.counters.bytesOut[s].Add(uint64(len(b)))
	if _, err := conn.Write(b); err != nil || f.Kind == Half {
		return false
	}
	if f.Kind == Silent || f.Kind == Stalled {
		waitForClose(conn)
		return false
	}
	return true
}
