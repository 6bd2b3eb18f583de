package managersim

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"
)

// Fault is how a socket misbehaves. The zero value is not at all.
type Fault struct {
	Delay time.Duration // before each answer
	Kind  FaultKind
}

// FaultKind is what becomes of an answer.
type FaultKind uint8

const (
	Sound     FaultKind = iota // it is given
	Silent                     // none, and the connection stays open
	HungUp                     // none, and the connection is closed
	Half                       // half of it, and the connection is closed
	Stalled                    // half of it, and the connection stays open
	Oversized                  // a length of almost 4 GiB stands before it
	Garbled                    // its bytes are noise
)

// Socket is one that can misbehave.
type Socket uint8

const (
	RequestSocket  Socket = iota // remoted's, for requests to agents
	DatabaseSocket               // wazuh-db's
	sockets
)

// faults are those of the moment.
type faults [sockets]atomic.Pointer[Fault]

// Misbehave lets a socket misbehave from the next answer on; a zero Fault ends it.
func (m *Manager) Misbehave(s Socket, f Fault) { m.faults[s].Store(&f) }

// write gives answers to conn as the socket's fault has it. It reports false
// when there is nothing more to be had from the connection.
func (m *Manager) write(s Socket, d *daemon, conn net.Conn, answers ...[]byte) bool {
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
	m.count.bytesOut[s].Add(uint64(len(b)))
	if _, err := conn.Write(b); err != nil || f.Kind == Half {
		return false
	}
	if f.Kind == Silent || f.Kind == Stalled {
		drain(conn)
		return false
	}
	return true
}
