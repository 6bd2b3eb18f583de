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

// readDatagrams takes datagrams until the socket closes.
func (l *Link) readDatagrams() {
	buf := make([]byte, secmsg.MaxMessage+1)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier send; the socket is good
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		_ = l.containPanic(from, func() error {
			l.refused(from, l.datagram(from, buf[:n]))
			return nil
		})
	}
}

// datagram takes one datagram. An error only concerns this one: anybody can
// write any source address on a datagram.
func (l *Link) datagram(from netip.AddrPort, frame []byte) error {
	if bytes.HasPrefix(frame, ping) {
		l.count.pings.Add(1)
		_, err := l.udp.WriteToUDPAddrPort(pong[lengthSize:], from)
		return err
	}
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return refuse(notOurs, err)
	}
	key, err := l.registry.find(h, from.Addr())
	if err != nil {
		return err
	}
	id, err := detector.ParseID(key.ID)
	if err != nil {
		return refuse(unknownAgent, err)
	}
	return withCodec(func(c *codec) error { return l.datagramOf(id, key, from, c, h) })
}

// datagramOf takes a datagram that is said to be of an agent.
func (l *Link) datagramOf(id detector.AgentID, key *clientkeys.Key, from netip.AddrPort, codec *codec, h secmsg.Header) error {
	if p := l.registry.peerOf(id); p != nil && p.conn == nil {
		return l.datagramFor(p, key, from, codec, h)
	}
	p, m, err := l.prove(nil, from, key, codec, h)
	if err != nil {
		return err
	}
	answered := l.questions.isAnswer(p, from, m.Payload)
	p.claims = p.claims && !answered
	old, err := l.registry.await(p, l.clock.Now) // only one on its way out is waited for
	if err != nil {
		return err
	}
	if p.claims {
		return l.doubtMessage(p, codec, &m, false)
	}
	if old != nil {
		old.close()
	}
	l.registry.moveHome(p, from.Addr())
	if answered {
		l.takeProof(p, m.Counter, false)
	}
	return l.hear(p, codec, m.Payload)
}

// datagramFor takes a datagram for an agent's peer. It follows the agent to another
// address when the message is newer than all before, or answers a question: anybody
// can send old ones from anywhere.
func (l *Link) datagramFor(p *peer, key *clientkeys.Key, from netip.AddrPort, codec *codec, h secmsg.Header) error {
	m, cipher, err := l.read(p, codec, h)
	if err != nil {
		return err
	}
	isNew := l.isNew(p, m.Counter, from == p.from)
	switch {
	case from != p.from && l.questions.isAnswer(p, from, m.Payload):
		l.takeProof(p, m.Counter, false)
	case isNew:
	case l.questions.isAnswer(p, from, m.Payload):
		l.takeProof(p, m.Counter, true)
	default:
		other, err := newPeer(key, nil, from, cipher)
		if err != nil {
			return err
		}
		other.history = p.history
		return l.doubtMessage(other, codec, &m, false)
	}
	if from.Addr() != p.from.Addr() {
		l.registry.moveHome(p, from.Addr())
	}
	p.locate(from, cipher)
	return l.hear(p, codec, m.Payload)
}

const (
	repeatPeriod = time.Second // between two tries of a request over UDP
	repeats      = 4           // tries in all, as a manager makes
)

// request is one sent over UDP that the agent has not confirmed yet.
type request struct {
	token uint32
	text  []byte
	tries int
	sent  time.Time // for the last time
}

// expect remembers a request over UDP, to be repeated until it is confirmed.
func (l *Link) expect(p *peer, token uint32, text []byte) {
	l.repeatMu.Lock()
	defer l.repeatMu.Unlock()
	l.repeat[p] = &request{token: token, text: bytes.Clone(text), tries: 1, sent: time.Now()}
}

// delivered notes that the agent has a request.
func (l *Link) delivered(p *peer, token uint32) {
	l.repeatMu.Lock()
	defer l.repeatMu.Unlock()
	if r := l.repeat[p]; r != nil && r.token == token {
		delete(l.repeat, p)
	}
}

// confirm tells an agent over UDP that its answer arrived; else it repeats it.
func (l *Link) confirm(p *peer, c *codec, token uint32) error {
	if p.conn != nil {
		return nil
	}
	l.delivered(p, token)
	c.text = appendReceipt(c.text[:0], token)
	return l.send(p, c, c.text)
}

// repeatRequests sends unconfirmed requests again until stop is closed.
func (l *Link) repeatRequests(stop <-chan struct{}) {
	tick := time.NewTicker(repeatPeriod)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			for p, text := range l.unconfirmed(time.Now()) {
				_ = l.containPanic(p.addr(), func() error { return l.again(p, text) }) // as one that is lost
			}
		}
	}
}

// unconfirmed returns the requests to send again, and forgets those that were
// sent often enough.
func (l *Link) unconfirmed(now time.Time) map[*peer][]byte {
	l.repeatMu.Lock()
	defer l.repeatMu.Unlock()
	due := make(map[*peer][]byte)
	for p, r := range l.repeat {
		switch {
		case now.Sub(r.sent) < repeatPeriod/2: // its confirmation is still on the way
		case r.tries == repeats:
			delete(l.repeat, p)
		default:
			r.tries++
			r.sent = now
			due[p] = r.text
		}
	}
	return due
}

func (l *Link) again(p *peer, text []byte) error {
	return withCodec(func(c *codec) error { return l.send(p, c, text) })
}
