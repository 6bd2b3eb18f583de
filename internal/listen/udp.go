package listen

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

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
		l.refused(from, l.datagram(from, buf[:n]))
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
	codec := codecs.Get().(*codec)
	defer codecs.Put(codec)
	if p := l.registry.peerOf(id); p != nil && p.conn == nil && p.cipher.Method() == h.Method {
		m, err := codec.dec.Decode(p.cipher, h.Body) // only this goroutine changes it
		if err != nil {
			return undecodable(fmt.Errorf("agent %s: %w", key.ID, err))
		}
		p.locate(from, p.cipher)
		return l.hear(p, codec, m.Payload)
	}
	p, payload, err := l.prove(nil, from, key, codec, h)
	if err != nil {
		return err
	}
	old, err := l.registry.enter(p, l.clock.Now())
	if err != nil {
		return err
	}
	if old != nil {
		old.close()
	}
	return l.hear(p, codec, payload)
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
}

// expect remembers a request over UDP, to be repeated until it is confirmed.
func (l *Link) expect(p *peer, token uint32, text []byte) {
	p.mu.Lock()
	p.waiting = &request{token: token, text: bytes.Clone(text), tries: 1}
	p.mu.Unlock()
	l.repeatMu.Lock()
	l.repeat[p] = struct{}{}
	l.repeatMu.Unlock()
}

// delivered notes that the agent has a request.
func (p *peer) delivered(token uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != nil && p.waiting.token == token {
		p.waiting = nil
	}
}

// confirm tells an agent over UDP that its answer arrived; else it repeats it.
func (l *Link) confirm(p *peer, c *codec, token uint32) error {
	if p.conn != nil {
		return nil
	}
	p.delivered(token)
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
			for _, p := range l.unconfirmed() {
				l.again(p)
			}
		}
	}
}

func (l *Link) unconfirmed() []*peer {
	l.repeatMu.Lock()
	defer l.repeatMu.Unlock()
	var peers []*peer
	for p := range l.repeat {
		peers = append(peers, p)
	}
	return peers
}

// again repeats a peer's request, or forgets the peer if that is over.
func (l *Link) again(p *peer) {
	p.mu.Lock()
	r := p.waiting
	var text []byte
	if r != nil && r.tries < repeats {
		r.tries++
		text = r.text
	} else {
		p.waiting = nil
	}
	p.mu.Unlock()
	if text == nil {
		l.repeatMu.Lock()
		delete(l.repeat, p)
		l.repeatMu.Unlock()
		return
	}
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	_ = l.send(p, c, text) // a datagram that cannot be sent is as one that is lost
}
