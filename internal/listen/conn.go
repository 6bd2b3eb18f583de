package listen

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
	"golang.org/x/sys/unix"
)

var (
	ping = []byte("#ping")
	pong = []byte("\x05\x00\x00\x00#pong")
)

// conn is one TCP connection. It belongs to its poller's goroutine, but for what its
// outlet guards.
type conn struct {
	in     inlet
	out    outlet
	from   netip.AddrPort
	poller *poller
	peer   *peer          // nil until a message proved that its agent is there
	claim  *peer          // whose the connection may be: what it showed was not newer than all before
	group  *strangerGroup // while it is a stranger; guarded by strangers, as is seat
	seat   *list.Element
	paused bool // it waits for its predecessor to end; guarded by the poller
}

// Read reads what has arrived, without waiting.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(c.out.fd, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// burst is how many times a connection is read in a row while others wait.
const burst = 16

// turn reads what a connection has sent and hears it. An error ends the
// connection, but for errPaused.
func (l *Link) turn(c *conn, buffer []byte) error {
	for more, reads := true, 0; more && reads < burst; reads++ {
		var err error
		more, err = c.in.read(c, buffer)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return c.in.ended(err)
		}
		if err := l.hearAll(c); err != nil {
			return err
		}
	}
	c.keep()
	return nil
}

// keep ends the turn of a connection, of which a part of a message may be there.
func (c *conn) keep() {
	if c.in.keep(time.Now()) {
		c.poller.time(c)
	}
}

// hearAll hears every message of which all has arrived.
func (l *Link) hearAll(c *conn) error {
	for {
		frame, err := c.in.next()
		if frame == nil || err != nil {
			return err
		}
		if err := l.receive(c, frame); err != nil {
			return err
		}
	}
}

// finish closes a connection, for the reason err unless there was one before. All of
// it is done, whichever part of it panics.
func (l *Link) finish(c *conn, err error) {
	_ = l.containPanic(c.from, func() error {
		defer l.count.connections.Add(-1)
		defer l.leave(c.peer)
		defer c.poller.untime(c)
		defer c.out.close()
		defer l.strangers.remove(c)
		c.poller.remove(c)
		l.refused(c.from, c.out.reason(err))
		return nil
	})
}

// leave takes the peer of a connection that is closed out of the registry, and
// reports its end. There may be none.
func (l *Link) leave(p *peer) {
	if p != nil {
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
	return withCodec(func(codec *codec) error { return l.receiveWith(c, codec, h) })
}

// receiveWith takes one frame whose header is parsed.
func (l *Link) receiveWith(c *conn, codec *codec, h secmsg.Header) error {
	p := c.peer
	if p == nil {
		p = c.claim
	}
	if p == nil {
		return l.first(c, codec, h)
	}
	if h.ID != nil && !sameAgent(h.ID, p.id) {
		return refuseAs(p.id.String(), anotherAgent, fmt.Errorf("agent %s on the connection of agent %s", h.ID, p.id))
	}
	m, cipher, err := l.read(p, codec, h)
	if err != nil {
		return err
	}
	p.locate(c.from, cipher)
	if c.peer == nil {
		return l.continueClaim(c, codec, &m)
	}
	return l.acceptMessage(p, codec, &m, c.from)
}

// read decodes a message of a peer's agent, which may change its method with every
// message. It is for the peer's reader.
func (l *Link) read(p *peer, codec *codec, h secmsg.Header) (secmsg.Message, *secmsg.Cipher, error) {
	cipher := p.cipher
	if cipher.Method() != h.Method {
		cipher = cipherOf(l.registry.keyOf(p), h.Method)
	}
	m, err := codec.dec.Decode(cipher, h.Body)
	if err != nil {
		return m, nil, undecodable(p.id.String(), err)
	}
	return m, cipher, nil
}

// acceptMessage takes a message of a peer on its own connection, or from its own address:
// what is not new proves nothing.
func (l *Link) acceptMessage(p *peer, codec *codec, m *secmsg.Message, from netip.AddrPort) error {
	if !l.isNew(p, m.Counter, true) {
		if !l.questions.isAnswer(p, from, m.Payload) {
			return l.doubtMessage(p, codec, m, false)
		}
		l.takeProof(p, m.Counter, true)
	}
	return l.hear(p, codec, m.Payload)
}

// first takes the first message of a connection: it has to prove a key, and to be
// newer than all before.
func (l *Link) first(c *conn, codec *codec, h secmsg.Header) error {
	key, err := l.registry.find(h, c.from.Addr())
	if err != nil {
		return err
	}
	p, m, err := l.prove(c, c.from, key, codec, h)
	if err != nil {
		return err
	}
	return l.enterPeer(c, p, codec, &m)
}

// enterPeer makes p its agent's peer with a message, or lets it claim to be. Where the
// agent has another connection, its end is waited for.
func (l *Link) enterPeer(c *conn, p *peer, codec *codec, m *secmsg.Message) error {
	old, err := l.registry.enter(p, l.clock.Now())
	if errors.Is(err, errBusy) {
		waits := *m
		waits.Payload = bytes.Clone(m.Payload)
		l.succeed(c, p, &waits)
		return errPaused
	}
	if err != nil {
		return err
	}
	return l.welcome(c, p, old, codec, m)
}

// errPaused says that a connection is not for its poller now.
var errPaused = errors.New("it waits for its predecessor")

// succeed waits for the agent's other connection to end, aside: everybody else's
// messages are heard meanwhile.
func (l *Link) succeed(c *conn, p *peer, m *secmsg.Message) {
	c.keep()
	c.poller.pause(c)
	if !l.spin(func() {
		if err := l.containPanic(c.from, func() error { return l.takeOver(c, p, m) }); err != nil && err != errPaused {
			l.finish(c, err)
		}
	}) {
		l.finish(c, net.ErrClosed)
	}
}

// takeOver waits for the agent's other connection to end, hears what has arrived on
// this one, and hands it back to its poller.
func (l *Link) takeOver(c *conn, p *peer, m *secmsg.Message) error {
	old, err := l.registry.await(p, l.clock.Now)
	if err != nil {
		return err
	}
	if err := withCodec(func(codec *codec) error { return l.welcome(c, p, old, codec, m) }); err != nil {
		return err
	}
	if err := l.hearAll(c); err != nil {
		return err
	}
	c.keep()
	return c.poller.resume(c)
}

// welcome makes p the peer of its connection, and hears its first message; or its
// claim, which is to be proven.
func (l *Link) welcome(c *conn, p, old *peer, codec *codec, m *secmsg.Message) error {
	if p.claims {
		c.claim = p
		c.in.question(time.Now())
		return l.doubtMessage(p, codec, m, true)
	}
	claimed := c.claim != nil
	c.claim, c.peer = nil, p // first: from here on, finish takes it out of the registry
	if old != nil {
		old.close()
	}
	answered := claimed && l.questions.isAnswer(p, c.from, m.Payload)
	c.in.welcome()
	l.strangers.remove(c)
	l.registry.moveHome(p, c.from.Addr())
	if answered {
		l.takeProof(p, m.Counter, false)
	}
	return l.hear(p, codec, m.Payload)
}

// continueClaim takes a message of a connection that claims to be an agent's: it is
// believed when it answers the question, or is newer than all before.
func (l *Link) continueClaim(c *conn, codec *codec, m *secmsg.Message) error {
	p := c.claim
	if !l.isNew(p, m.Counter, false) && !l.questions.isAnswer(p, c.from, m.Payload) {
		return l.doubtMessage(p, codec, m, false)
	}
	p.claims = false
	return l.enterPeer(c, p, codec, m)
}

// prove decodes a message with a key and makes its agent's peer, which only claims
// to be that if the message is not newer than all before.
func (l *Link) prove(c *conn, from netip.AddrPort, key *clientkeys.Key, codec *codec, h secmsg.Header) (*peer, secmsg.Message, error) {
	cipher := cipherOf(key, h.Method)
	m, err := codec.dec.Decode(cipher, h.Body)
	if err != nil {
		return nil, m, undecodable(key.ID, err)
	}
	p, err := newPeer(key, c, from, cipher)
	if err != nil {
		return nil, m, err
	}
	p.history = l.registry.historyOf(p.id)
	p.window = newWindow(m.Counter.Number())
	p.claims = !l.isNew(p, m.Counter, false)
	p.lastSeen.Store(int64(l.clock.Now()))
	return p, m, nil
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
		p.conn.out.end(net.ErrClosed)
	}
}
