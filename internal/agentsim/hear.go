package agentsim

import (
	"bytes"
	"unique"
)

// What a manager says (wazuh.md section 2).
var (
	control   = []byte("#!-")
	ack       = []byte("#!-agent ack ")
	keepAlive = []byte("#!-agent keepalive ")
	request   = []byte("#!-req ")
	upFile    = []byte("#!-up file ")
	closeFile = []byte("#!-close file ")
	reconnect = []byte("#!-force_reconnect")
)

// hear does what a stock agent does with a message from its manager.
func (s *session) hear(payload []byte) ending {
	s.process.heard = s.fleet.now()
	switch {
	case bytes.HasPrefix(payload, ack):
		return s.acknowledged()
	case bytes.HasPrefix(payload, request):
		return s.asks(payload[len(request):])
	case bytes.HasPrefix(payload, upFile):
		s.receiving = true
		s.fileSum(payload[len(upFile):])
	case bytes.HasPrefix(payload, closeFile):
		if s.receiving {
			s.receiving, s.process.merged = false, s.offered
			s.fleet.tally.files.Add(1)
		}
	case bytes.HasPrefix(payload, reconnect):
		return forced
	case bytes.HasPrefix(payload, control):
		s.unknown()
		if bytes.HasPrefix(payload, keepAlive) {
			s.fleet.tally.notices.Add(1)
		}
	case !s.receiving: // a piece of a file that is not being received
		s.fleet.tally.unknown.Add(1)
	}
	return goOn
}

// acknowledged hears the answer to the startup, or to a keep-alive.
func (s *session) acknowledged() ending {
	now, t := s.process.heard, &s.fleet.tally
	if s.isConnected() {
		t.acks.Add(1)
		if s.asked > 0 {
			t.ack.add(now - s.asked)
			s.asked = 0
		}
		return goOn
	}
	t.startup.add(now - s.began)
	s.become(connected)
	if s.process.begun {
		t.reconnects.Add(1)
		return goOn
	}
	s.process.begun, s.process.beat = true, now
	return s.send(s.started)
}

// unknown hears a control message that an agent of 4.14 does not know. It logs
// a warning, and a shared file that it just receives is lost (agent-probe.txt).
func (s *session) unknown() {
	s.fleet.tally.unknown.Add(1)
	if s.receiving {
		s.receiving = false
		s.fleet.tally.torn.Add(1)
	}
}

// fileSum keeps the checksum that a shared file is announced with: once the file
// is here, the agent's keep-alives carry it, and the manager does not send it again.
func (s *session) fileSum(announced []byte) {
	sum, _, _ := bytes.Cut(announced, []byte(" "))
	s.offered = unique.Make(string(sum))
}

// beat sends the agent's own keep-alive.
func (s *session) beat() ending {
	now := s.fleet.now()
	// An ack does not say what it answers. Over TCP none is lost, so the oldest
	// question counts, and a manager that stalls shows for as long as it did.
	if s.asked == 0 || !s.fleet.stream {
		s.asked = now
	}
	s.process.beat = now
	s.process.beats++
	s.fleet.tally.keepAlives.Add(1)
	return s.send(s.keepAlive)
}
