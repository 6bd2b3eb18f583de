package listen

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// authenticateFirstMessage handles the first message of a connection: it must decrypt with an agent's
// key and be newer than all before.
func (l *Link) authenticateFirstMessage(c *conn, codec *codec, h secmsg.Header) error {
	key, err := l.registry.findMessageKey(h, c.from.Addr())
	if err != nil {
		return err
	}
	p, m, err := l.decodeFirstMessage(c, c.from, key, codec, h)
	if err != nil {
		return err
	}
	return l.registerPeer(c, p, codec, &m)
}

// registerPeer makes p its agent's peer, or a claim, and handles its message. If the
// agent has another connection, it first waits for the end of that.
func (l *Link) registerPeer(c *conn, p *peer, codec *codec, m *agentMessage) error {
	old, err := l.registry.addPeer(p, l.clock.Now())
	if errors.Is(err, errPeerBusy) {
		waits := *m
		waits.Payload = bytes.Clone(m.Payload)
		l.waitForTakeover(c, p, &waits)
		return errPaused
	}
	if err != nil {
		return err
	}
	return l.admitRegisteredPeer(c, p, old, codec, m)
}

// errPaused is returned for a connection that its poller does not own for now.
var errPaused = errors.New("it waits for the agent's other connection to end")

// waitForTakeover waits for the agent's other connection to end, in a goroutine of its
// own: the poller goes on with the other connections.
func (l *Link) waitForTakeover(c *conn, p *peer, m *agentMessage) {
	c.retainPartialInput()
	c.poller.pauseConn(c)
	if !l.startGoroutine(func() {
		if err := l.containPanic(c.from, func() error { return l.completeTakeover(c, p, m) }); err != nil && err != errPaused {
			l.closeConn(c, err)
		}
	}) {
		l.closeConn(c, net.ErrClosed)
	}
}

// completeTakeover waits for the agent's other connection to end, handles what has arrived
// on this one, and returns it to its poller.
func (l *Link) completeTakeover(c *conn, p *peer, m *agentMessage) error {
	old, err := l.registry.addPeerWhenFree(p, l.clock.Now)
	if err != nil {
		return err
	}
	if err := withCodec(func(codec *codec) error { return l.admitRegisteredPeer(c, p, old, codec, m) }); err != nil {
		return err
	}
	if err := l.handleBufferedFrames(c); err != nil {
		return err
	}
	c.retainPartialInput()
	return c.poller.resumeConn(c)
}

// admitRegisteredPeer makes p the peer of its connection and handles its first message, or makes
// it the connection's claim and asks the question that proves it.
func (l *Link) admitRegisteredPeer(c *conn, p, old *peer, codec *codec, m *agentMessage) error {
	if p.isClaim {
		c.claim = p
		c.reader.startAnswerDeadline(time.Now())
		return l.questionSender(p, codec, m, true)
	}
	claimed := c.claim != nil
	c.claim, c.peer = nil, p // first: from here on, closeConn removes it from the registry
	if old != nil {
		old.endConn()
	}
	answered := claimed && l.questions.isAnswerToQuestion(p, c.from, m)
	c.reader.liftStrangerLimits()
	l.strangers.removeStrangerConn(c)
	l.registry.setAgentNetwork(p, c.from.Addr())
	if answered {
		l.acceptQuestionAnswer(p, m.Counter, false)
	}
	return l.handleAgentMessage(p, codec, m)
}

// handleClaimMessage handles a message of a connection with a claim, which is proven by
// the answer to the question or by a message that is newer than all before.
func (l *Link) handleClaimMessage(c *conn, codec *codec, m *agentMessage) error {
	p := c.claim
	if !l.isNewMessage(p, m.Counter, false) && !l.questions.isAnswerToQuestion(p, c.from, m) {
		return l.questionSender(p, codec, m, false)
	}
	p.isClaim, p.isProven = false, l.verify
	return l.registerPeer(c, p, codec, m)
}

// decodeFirstMessage decodes a message with a key and returns a peer for its agent, which is
// a claim if the message is not newer than all before.
func (l *Link) decodeFirstMessage(c *conn, from netip.AddrPort, key *clientkeys.Key, codec *codec, h secmsg.Header) (*peer, agentMessage, error) {
	cipher := newCipher(key, h.Method)
	m, err := codec.decodeAgentMessage(cipher, h.Body)
	if err != nil {
		return nil, m, refuseUndecodableMessage(key.ID, err)
	}
	if m.kind == receiptMessage {
		return nil, m, refuseAgentMessage(key.ID, staleCounter, fmt.Errorf("agent %s: a receipt for no request", key.ID))
	}
	p, err := newPeer(key, c, from, cipher)
	if err != nil {
		return nil, m, err
	}
	p.history = l.registry.historyOf(p.id)
	p.window = newCounterWindow(m.Counter.Number())
	p.isClaim = !l.isNewMessage(p, m.Counter, false)
	p.isProven = l.verify && !p.isClaim
	p.lastSeen.Store(int64(l.clock.Now()))
	return p, m, nil
}
