package agentsim

import (
	"errors"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

var errMethod = errors.New("not the agent's own method of encryption")

// codec is what an agent needs to encode and decode a message. It is shared by
// many agents.
type codec struct {
	enc  secmsg.Encoder
	dec  secmsg.Decoder
	text []byte
	wire []byte
}

// handleRead handles n bytes that were read into the frame buffer.
func (s *session) handleRead(n int) endReason {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	end, err := s.in.eachFrame(n, func(frame []byte) endReason {
		payload, err := s.decodeFrame(c, frame)
		if err != nil { // an agent logs a warning and goes on (agent-probe.txt)
			s.fleet.counters.garbled.Add(1)
			return notEnded
		}
		return s.handleMessage(payload)
	})
	if err != nil {
		return s.brokenReason()
	}
	return end
}

func (s *session) decodeFrame(c *codec, frame []byte) ([]byte, error) {
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

// encodeMessage returns the frame of the payload that write appends.
func (s *session) encodeMessage(write func([]byte) []byte) []byte {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	if !s.encodeTo(c, write) {
		return nil
	}
	return append([]byte(nil), c.wire...)
}

// encodeTo encodes the payload that write appends into c.wire.
func (s *session) encodeTo(c *codec, write func([]byte) []byte) bool {
	c.text = write(c.text[:0])
	wire := c.wire[:0]
	if s.fleet.stream {
		wire = secmsg.BeginFrame(wire)
	}
	if c := s.nextCounter.Swap(nil); c != nil {
		s.counter = *c
	}
	s.counter.Next()
	wire, err := c.enc.AppendToManager(wire, s.wireID, s.cipher, s.counter, c.text)
	if err != nil { // a name too long for a message, or an odd ID
		s.fleet.counters.unsent.Add(1)
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

// sendMessage sends the payload that write appends. While the network is cut a
// stream keeps it for later, and a datagram is lost.
func (s *session) sendMessage(write func([]byte) []byte) endReason {
	c := s.fleet.codecs.Get().(*codec)
	defer s.fleet.codecs.Put(c)
	if !s.encodeTo(c, write) {
		return notEnded
	}
	return s.writeFrame(c.wire)
}

func (s *session) writeFrame(wire []byte) endReason {
	for {
		f := s.currentLifecycle()
		switch {
		case f.over || f.ended != s.ended:
			return processEnded
		case f.hung:
			<-s.wake
			s.resumeAt = s.fleet.elapsed() + resumeDelay
			continue
		case f.cut:
			if s.fleet.stream {
				s.held = append(s.held, wire...)
			}
			return notEnded
		}
		n, err := s.conn.Write(wire)
		if err == nil {
			return notEnded
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return s.brokenReason()
		}
		wire = wire[n:]
		s.allowWrites(f)
	}
}

// allowWrites removes an expired deadline, unless the lifecycle has changed
// again since after.
func (s *session) allowWrites(after lifecycle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lifecycle == after {
		s.conn.SetWriteDeadline(time.Time{})
	}
}

// sendHeld sends what was held while the network was cut.
func (s *session) sendHeld() endReason {
	if len(s.held) == 0 {
		return notEnded
	}
	held := s.held
	s.held = nil
	return s.writeFrame(held)
}
