package listen

import (
	"bytes"
	"container/list"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/rawio"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
	"golang.org/x/sys/unix"
)

var (
	ping = []byte("#ping")
	pong = []byte("\x05\x00\x00\x00#pong")
)

// conn is one TCP connection. It belongs to its poller's goroutine, except for its
// writer.
type conn struct {
	reader  frameReader
	writer  writeBuffer
	from    netip.AddrPort
	poller  *poller
	peer    *peer          // nil until authenticated
	claim   *peer          // the agent it may be of: its message was not newer than all before
	group   *strangerGroup // while it is a stranger; guarded by strangers, as is element
	element *list.Element
	paused  bool // it waits for the agent's other connection to end; guarded by the poller
}

// Read reads from the socket without blocking.
func (c *conn) Read(b []byte) (int, error) {
	n, err := rawio.Read(c.writer.fd, b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// maxReads bounds the reads from one connection in a row while others wait.
const maxReads = 16

// readConn reads what a connection has sent and handles its frames. An error ends the
// connection, except for errPaused.
func (l *Link) readConn(c *conn, buffer []byte) error {
	for more, reads := true, 0; more && reads < maxReads; reads++ {
		var err error
		more, err = c.reader.readOnce(c, buffer)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			return c.reader.explainStreamEnd(err)
		}
		if err := l.handleBufferedFrames(c); err != nil {
			return err
		}
	}
	c.retainPartialInput()
	return nil
}

// retainPartialInput copies a partial message out of the poller's buffer.
func (c *conn) retainPartialInput() {
	if c.reader.retainUnreadData(time.Now()) {
		c.poller.trackConnDeadline(c)
	}
}

// handleBufferedFrames handles every complete frame. That the agent can be sent nothing
// any more ends the connection only when all is read: the rest may be its shutdown message.
func (l *Link) handleBufferedFrames(c *conn) error {
	for {
		frame, err := c.reader.nextCompleteFrame()
		if frame == nil || err != nil {
			return err
		}
		if err := l.handleConnFrame(c, frame); err != nil && !isConnGone(err) {
			return err
		}
	}
}

// closeConn closes a connection, for the reason err unless it had an earlier one. All
// steps run even if one of them panics.
func (l *Link) closeConn(c *conn, err error) {
	_ = l.containPanic(c.from, func() error {
		defer l.count.connections.Add(-1)
		defer l.reportPeerClosed(c.peer)
		defer c.poller.untrackConnDeadline(c)
		defer c.writer.closeSocket()
		defer l.strangers.removeStrangerConn(c)
		c.poller.removeConn(c)
		l.recordRefusal(c.from, c.writer.endReason(err))
		return nil
	})
}

// reportPeerClosed removes the peer of a closed connection, if it had one, from the
// registry and reports the end of the connection.
func (l *Link) reportPeerClosed(p *peer) {
	if p != nil {
		l.registry.removePeer(p, func() {
			l.report(detector.Sighting{At: l.clock.Now(), ID: p.id, Kind: detector.SawClosed})
		})
	}
}

// handleConnFrame handles one frame of a connection. An error ends the connection.
func (l *Link) handleConnFrame(c *conn, frame []byte) error {
	if bytes.HasPrefix(frame, ping) {
		l.count.pings.Add(1)
		return c.writer.writeOrQueue(pong)
	}
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return refuse(notOurs, err)
	}
	return withCodec(func(codec *codec) error { return l.handleParsedFrame(c, codec, h) })
}

func (l *Link) handleParsedFrame(c *conn, codec *codec, h secmsg.Header) error {
	p := c.peer
	if p == nil {
		p = c.claim
	}
	if p == nil {
		return l.authenticateFirstMessage(c, codec, h)
	}
	if h.ID != nil && !isSameAgent(h.ID, p.id) {
		return refuseAgentMessage(p.id.String(), anotherAgent, fmt.Errorf("agent %s on the connection of agent %s", h.ID, p.id))
	}
	m, cipher, err := l.decodePeerMessage(p, codec, h)
	if err != nil {
		return err
	}
	if m.kind == receiptMessage { // nothing asks for one here
		return nil
	}
	p.setReplyLocation(c.from, cipher)
	if c.peer == nil {
		return l.handleClaimMessage(c, codec, &m)
	}
	return l.handlePeerMessage(p, codec, &m, c.from)
}

// decodePeerMessage decodes a message of a peer's agent, which may change the encryption
// method with every message. It must be called by the peer's reader.
func (l *Link) decodePeerMessage(p *peer, codec *codec, h secmsg.Header) (agentMessage, *secmsg.Cipher, error) {
	cipher := p.cipher
	if cipher.Method() != h.Method {
		cipher = newCipher(l.registry.keyOfPeer(p), h.Method)
	}
	m, err := codec.decodeAgentMessage(cipher, h.Body)
	if err != nil {
		err = refuseUndecodableMessage(p.id.String(), err)
	}
	return m, cipher, err
}

// handlePeerMessage handles a message from a peer's own connection or address. One that
// is not new proves nothing.
func (l *Link) handlePeerMessage(p *peer, codec *codec, m *agentMessage, from netip.AddrPort) error {
	if !l.isNewMessage(p, m.Counter, true) {
		if !l.questions.isAnswerToQuestion(p, from, m) {
			return l.questionSender(p, codec, m, false)
		}
		l.acceptQuestionAnswer(p, m.Counter, true)
	}
	l.reportRival(p)
	return l.handleAgentMessage(p, codec, m)
}

func isSameAgent(written []byte, id detector.AgentID) bool {
	var buf [10]byte
	return bytes.Equal(written, id.Append(buf[:0]))
}
