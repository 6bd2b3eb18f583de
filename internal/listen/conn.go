package listen

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

var (
	ping = []byte("#ping")
	pong = []byte("\x05\x00\x00\x00#pong")
)

// conn is one TCP connection.
type conn struct {
	in   inlet
	out  outlet
	from netip.AddrPort
	peer *peer // nil until the first message proved an agent's key
}

// serve reads a connection until it ends.
func (l *Link) serve(tcp *net.TCPConn) {
	defer l.count.connections.Add(-1)
	raw, err := tcp.SyscallConn()
	if err != nil {
		_ = tcp.Close()
		return
	}
	from := tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	c := &conn{from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	c.in.open(tcp)
	c.out = outlet{conn: tcp, raw: raw, spin: l.spin}

	for err == nil {
		var frame []byte
		if frame, err = c.in.next(); err == nil {
			err = l.receive(c, frame)
		}
	}
	if broken := c.out.failure(); broken != nil {
		err = broken // reading failed only because of it
	}
	l.refused(c.from, err)
	_ = tcp.Close()
	if p := c.peer; p != nil {
		l.registry.leave(p, func() {
			l.report(detector.Sighting{At: l.clock.Now(), ID: p.id, Kind: detector.SawClosed})
		})
	}
}

// receive takes one frame of a connection. An error ends the connection.
func (l *Link) receive(c *conn, frame []byte) error {
	if bytes.HasPrefix(frame, ping) {
		l.count.pings.Add(1)
		return c.out.write(pong)
	}
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return refuse(notOurs, err)
	}
	codec := codecs.Get().(*codec)
	defer codecs.Put(codec)
	if c.peer == nil {
		return l.first(c, codec, h)
	}
	p := c.peer
	if h.ID != nil && !sameAgent(h.ID, p.id) {
		return refuseAs(p.id.String(), anotherAgent, fmt.Errorf("agent %s on the connection of agent %s", h.ID, p.id))
	}
	payload, err := l.read(p, c.from, codec, h)
	if err != nil {
		return err
	}
	return l.hear(p, codec, payload)
}

// read decodes a message of a peer's agent, which may change its method and,
// over UDP, its address with every message. It is for the peer's reader.
func (l *Link) read(p *peer, from netip.AddrPort, codec *codec, h secmsg.Header) ([]byte, error) {
	cipher := p.cipher
	if cipher.Method() != h.Method {
		cipher = cipherOf(l.registry.keyOf(p), h.Method)
	}
	m, err := codec.dec.Decode(cipher, h.Body)
	if err != nil {
		return nil, undecodable(p.id.String(), err)
	}
	p.locate(from, cipher)
	return m.Payload, nil
}

// first takes the first message of a connection: it has to prove a key.
func (l *Link) first(c *conn, codec *codec, h secmsg.Header) error {
	key, err := l.registry.find(h, c.from.Addr())
	if err != nil {
		return err
	}
	p, payload, err := l.prove(c, c.from, key, codec, h)
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
	c.peer = p
	c.in.welcome()
	return l.hear(p, codec, payload)
}

// prove decodes a message with a key and makes its agent's peer.
func (l *Link) prove(c *conn, from netip.AddrPort, key *clientkeys.Key, codec *codec, h secmsg.Header) (*peer, []byte, error) {
	cipher := cipherOf(key, h.Method)
	m, err := codec.dec.Decode(cipher, h.Body)
	if err != nil {
		return nil, nil, undecodable(key.ID, err)
	}
	p, err := newPeer(key, c, from, cipher)
	if err != nil {
		return nil, nil, err
	}
	p.lastSeen.Store(int64(l.clock.Now()))
	return p, m.Payload, nil
}

func undecodable(agent string, err error) error {
	why := wrongKey
	if errors.Is(err, secmsg.ErrTooLong) {
		why = oversized
	}
	return refuseAs(agent, why, fmt.Errorf("agent %s: %w", agent, err))
}

func sameAgent(written []byte, id detector.AgentID) bool {
	var buf [10]byte
	return bytes.Equal(written, id.Append(buf[:0]))
}

// close ends a peer that is no longer wanted.
func (p *peer) close() {
	if p.conn != nil {
		_ = p.conn.out.conn.Close()
	}
}
