package agentsim

import (
	"bytes"
	"unique"
)

// Messages of a manager (wazuh.md section 2).
var (
	control   = []byte("#!-")
	ack       = []byte("#!-agent ack ")
	keepAlive = []byte("#!-agent keepalive ")
	request   = []byte("#!-req ")
	upFile    = []byte("#!-up file ")
	closeFile = []byte("#!-close file ")
	reconnect = []byte("#!-force_reconnect")
)

// handleMessage does what a stock agent does with a message from its manager.
func (s *session) handleMessage(payload []byte) endReason {
	s.process.lastReceived = s.fleet.elapsed()
	switch {
	case bytes.HasPrefix(payload, ack):
		return s.handleAck()
	case !s.isConnected(): // it waits for the acknowledgement of its startup, and for nothing else
	case bytes.HasPrefix(payload, request):
		return s.handleRequest(payload[len(request):])
	case bytes.HasPrefix(payload, upFile):
		s.receiving = true
		s.setOfferedSum(payload[len(upFile):])
	case bytes.HasPrefix(payload, closeFile):
		if s.receiving {
			s.receiving, s.process.merged = false, s.offered
			s.fleet.counters.files.Add(1)
		}
	case bytes.HasPrefix(payload, reconnect):
		return forced
	case bytes.HasPrefix(payload, control):
		s.handleUnknown()
		if bytes.HasPrefix(payload, keepAlive) {
			s.fleet.counters.notices.Add(1)
		}
	case !s.receiving: // a piece of a file that is not being received
		s.fleet.counters.unknown.Add(1)
	}
	return notEnded
}

// handleAck handles the answer to the startup, or to a keep-alive.
func (s *session) handleAck() endReason {
	now, t := s.process.lastReceived, &s.fleet.counters
	if s.isConnected() {
		t.acks.Add(1)
		if s.unackedSince > 0 {
			t.ack.addDuration(now - s.unackedSince)
			s.unackedSince = 0
		}
		return notEnded
	}
	t.startup.addDuration(now - s.began)
	s.setStage(connected)
	if s.process.acknowledged {
		t.reconnects.Add(1)
		return notEnded
	}
	s.process.acknowledged, s.process.lastKeepAlive = true, now
	return s.sendMessage(s.appendStarted)
}

// handleUnknown handles a control message that an agent of 4.14 does not know.
// Such an agent logs a warning and loses a shared file that it is receiving
// (agent-probe.txt).
func (s *session) handleUnknown() {
	s.fleet.counters.unknown.Add(1)
	if s.receiving {
		s.receiving = false
		s.fleet.counters.torn.Add(1)
	}
}

// setOfferedSum stores the checksum with which a shared file is announced.
// Once the file is complete, the agent's keep-alives carry it, and the manager
// does not send it again.
func (s *session) setOfferedSum(announced []byte) {
	sum, _, _ := bytes.Cut(announced, []byte(" "))
	s.offered = unique.Make(string(sum))
}

// sendKeepAlive sends the agent's own keep-alive.
func (s *session) sendKeepAlive() endReason {
	now := s.fleet.elapsed()
	// An ack does not name what it answers. Over TCP none is lost, so the oldest
	// keep-alive counts, and the latency includes the time for which a manager stalls.
	if s.unackedSince == 0 || !s.fleet.stream {
		s.unackedSince = now
	}
	s.process.lastKeepAlive = now
	s.process.keepAlives++
	s.fleet.counters.keepAlives.Add(1)
	return s.sendMessage(s.appendKeepAlive)
}
