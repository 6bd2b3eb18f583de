package agentsim

import (
	"errors"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

var errMethod = errors.New("not the agent's own method of encryption")

// codec is what an agent needs while it talks; one is shared by many in turn.
type codec struct {
	enc  secmsg.Encoder
	dec  secmsg.Decoder
	text []byte
	wire []byte
}

// take handles n bytes that were read into the inbox.
func (s *session) take(n int) ending {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	end, err := s.in.frames(n, func(frame []byte) ending {
		payload, err := s.open(c, frame)
		if err != nil { // an agent warns and goes on (agent-probe.txt)
			s.fleet.tally.garbled.Add(1)
			return goOn
		}
		return s.hear(payload)
	})
	if err != nil {
		return s.broken()
	}
	return end
}

func (s *session) open(c *codec, frame []byte) ([]byte, error) {
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return nil, err
	}
	if h.Method != s.fleet.cfg.Method {
		return nil, errMethod
	}
	m, err := c.dec.Decode(s.cipher, h.Body)
	return m.Payload, err
}

// encode returns the message that write appends to, as it goes on the wire.
func (s *session) encode(write func([]byte) []byte) []byte {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	if !s.seal(c, write) {
		return nil
	}
	return append([]byte(nil), c.wire...)
}

// seal puts the message that write appends to into c.wire.
func (s *session) seal(c *codec, write func([]byte) []byte) bool {
	c.text = write(c.text[:0])
	wire := c.wire[:0]
	if s.fleet.stream {
		wire = secmsg.BeginFrame(wire)
	}
	s.counter.Next()
	wire, err := c.enc.AppendToManager(wire, s.wireID, s.cipher, s.counter, c.text)
	if err != nil { // a name too long for a message, or an odd ID
		s.fleet.tally.unsent.Add(1)
		s.fleet.log.Error("simulated agent cannot send", "agent", s.id, "error", err)
		return false
	}
	if s.fleet.stream {
		secmsg.EndFrame(wire, 0)
	}
	c.wire = wire
	s.process.sent++
	return true
}

// send sends the message that write appends to. Behind a cut network a stream
// keeps it for later, and a datagram is lost.
func (s *session) send(write func([]byte) []byte) ending {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	if !s.seal(c, write) {
		return goOn
	}
	return s.transmit(c.wire)
}

func (s *session) transmit(wire []byte) ending {
	for {
		f := s.look()
		switch {
		case f.over || f.deaths != s.deaths:
			return dead
		case f.hung:
			<-s.wake
			s.notYet = s.fleet.now() + thaw
			continue
		case f.cut:
			if s.fleet.stream {
				s.held = append(s.held, wire...)
			}
			return goOn
		}
		n, err := s.conn.Write(wire)
		if err == nil {
			return goOn
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return s.broken()
		}
		wire = wire[n:]
		s.allowWrites(f)
	}
}

// allowWrites undoes an interrupt, unless there is one that came after that fate.
func (s *session) allowWrites(after fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fate == after {
		s.conn.SetWriteDeadline(time.Time{})
	}
}

// release sends what was held while the network was cut.
func (s *session) release() ending {
	if len(s.held) == 0 {
		return goOn
	}
	held := s.held
	s.held = nil
	return s.transmit(held)
}
