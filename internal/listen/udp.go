package listen

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// readDatagrams reads datagrams until the socket closes.
func (l *Link) readDatagrams() {
	buf := make([]byte, secmsg.MaxMessage+1)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier send; the socket still works
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		_ = l.containPanic(from, func() error {
			l.recordRefusal(from, l.handleDatagram(from, buf[:n]))
			return nil
		})
	}
}

// handleDatagram handles one datagram. An error concerns only this one, because the
// source address of a datagram can be forged.
func (l *Link) handleDatagram(from netip.AddrPort, frame []byte) error {
	if bytes.HasPrefix(frame, ping) {
		l.count.pings.Add(1)
		_, err := l.udp.WriteToUDPAddrPort(pong[lengthSize:], from)
		return err
	}
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return refuse(notOurs, err)
	}
	key, err := l.registry.findMessageKey(h, from.Addr())
	if err != nil {
		return err
	}
	id, err := detector.ParseID(key.ID)
	if err != nil {
		return refuse(unknownAgent, err)
	}
	return withCodec(func(c *codec) error { return l.handleAgentDatagram(id, key, from, c, h) })
}

// handleAgentDatagram handles a datagram that names an agent, or comes from its address.
func (l *Link) handleAgentDatagram(id detector.AgentID, key *clientkeys.Key, from netip.AddrPort, codec *codec, h secmsg.Header) error {
	if p := l.registry.peerOf(id); p != nil && p.conn == nil {
		return l.handlePeerDatagram(p, key, from, codec, h)
	}
	p, m, err := l.decodeFirstMessage(nil, from, key, codec, h)
	if err != nil {
		return err
	}
	answered := l.questions.isAnswerToQuestion(p, from, &m)
	p.isClaim = p.isClaim && !answered
	old, err := l.registry.addPeerWhenFree(p, l.clock.Now) // waits only for a peer whose end is being reported
	if err != nil {
		return err
	}
	if p.isClaim {
		return l.questionSender(p, codec, &m, false)
	}
	if old != nil {
		old.endConn()
	}
	l.registry.setAgentNetwork(p, from.Addr())
	if answered {
		l.acceptQuestionAnswer(p, m.Counter, false)
	}
	return l.handleAgentMessage(p, codec, &m)
}

// handlePeerDatagram handles a datagram for an agent's peer. The peer moves to another
// address only by a message that is newer than all before, or answers a question: others
// may be replays.
func (l *Link) handlePeerDatagram(p *peer, key *clientkeys.Key, from netip.AddrPort, codec *codec, h secmsg.Header) error {
	m, cipher, err := l.decodePeerMessage(p, codec, h)
	if err != nil {
		return err
	}
	if m.kind == receiptMessage && !(from == p.from && l.markRequestDelivered(p, m.token)) {
		return nil // it may be the link's own, which it sends when a request is answered
	}
	isNew := l.isNewMessage(p, m.Counter, from == p.from)
	switch {
	case from != p.from && l.questions.isAnswerToQuestion(p, from, &m):
		l.acceptQuestionAnswer(p, m.Counter, false)
	case isNew:
	case l.questions.isAnswerToQuestion(p, from, &m):
		l.acceptQuestionAnswer(p, m.Counter, true)
	default:
		other, err := newPeer(key, nil, from, cipher)
		if err != nil {
			return err
		}
		other.history = p.history
		return l.questionSender(other, codec, &m, false)
	}
	if from.Addr() != p.from.Addr() {
		l.registry.setAgentNetwork(p, from.Addr())
	}
	p.setReplyLocation(from, cipher)
	return l.handleAgentMessage(p, codec, &m)
}

const (
	repeatPeriod = time.Second // between two tries of a request over UDP
	maxTries     = 4           // as a manager has
)

// request is one sent over UDP that the agent has not confirmed.
type request struct {
	token uint32
	text  []byte
	tries int
	sent  time.Time // for the last time
}

// trackUnconfirmedRequest records a request over UDP, to be repeated until it is confirmed.
func (l *Link) trackUnconfirmedRequest(p *peer, token uint32, text []byte) {
	l.requestsMu.Lock()
	defer l.requestsMu.Unlock()
	l.requests[p] = &request{token: token, text: bytes.Clone(text), tries: 1, sent: time.Now()}
}

// markRequestDelivered ends the repetition of a request that the agent has received.
func (l *Link) markRequestDelivered(p *peer, token uint32) (pending bool) {
	l.requestsMu.Lock()
	defer l.requestsMu.Unlock()
	r := l.requests[p]
	pending = r != nil && r.token == token
	if pending {
		delete(l.requests, p)
	}
	return pending
}

// confirmAnswerReceived confirms the arrival of an answer over UDP, which the agent repeats
// otherwise.
func (l *Link) confirmAnswerReceived(p *peer, c *codec, token uint32) error {
	if p.conn != nil {
		return nil
	}
	l.markRequestDelivered(p, token)
	c.text = appendAnswerReceipt(c.text[:0], token)
	return l.sendToPeer(p, c, c.text)
}

// repeatUnconfirmedRequests sends unconfirmed requests again until stop is closed.
func (l *Link) repeatUnconfirmedRequests(stop <-chan struct{}) {
	tick := time.NewTicker(repeatPeriod)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			for p, text := range l.takeDueRequests(time.Now()) {
				_ = l.containPanic(p.address(), func() error { return l.resendRequest(p, text) }) // a panic is handled like a lost datagram
			}
		}
	}
}

// takeDueRequests returns the requests to send again, and removes those that were
// sent maxTries times.
func (l *Link) takeDueRequests(now time.Time) map[*peer][]byte {
	l.requestsMu.Lock()
	defer l.requestsMu.Unlock()
	due := make(map[*peer][]byte)
	for p, r := range l.requests {
		switch {
		case now.Sub(r.sent) < repeatPeriod/2: // its confirmation may still arrive
		case r.tries == maxTries:
			delete(l.requests, p)
		default:
			r.tries++
			r.sent = now
			due[p] = r.text
		}
	}
	return due
}

func (l *Link) resendRequest(p *peer, text []byte) error {
	return withCodec(func(c *codec) error { return l.sendToPeer(p, c, text) })
}
