package managersim

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// peer is one agent's connection.
type peer struct {
	conn        net.Conn
	id          string // "" before its first message
	name        string
	lastMessage atomic.Int64 // Unix nanoseconds of its last message
	counters    peerCounters

	lastKeepAlive string // its last keep-alive; used by its reader only

	writeMu sync.Mutex // protects the cipher and the counter too
	cipher  *secmsg.Cipher
	counter secmsg.Counter
}

// registerPeer makes a connection its agent's, unless the agent has another
// one with a recent message.
func (r *remoted) registerPeer(p *peer, key *clientkeys.Key) error {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	if old := r.peers[key.ID]; old != nil {
		if time.Since(time.Unix(0, old.lastMessage.Load())) < r.cfg.Overtake {
			return errOccupied
		}
		_ = old.conn.Close()
	}
	p.id, p.name = key.ID, key.Name
	p.counters.since = r.store.now()
	p.counter.Global = uint64(p.counters.since)
	r.peers[key.ID] = p
	_ = p.conn.SetReadDeadline(time.Time{})
	return nil
}

// removePeer removes a connection that ended.
func (r *remoted) removePeer(p *peer) {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	if r.peers[p.id] == p {
		delete(r.peers, p.id)
	}
}

// findPeer returns the connection of an agent; nil without one.
func (r *remoted) findPeer(id string) *peer {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	return r.peers[id]
}

// closePeer closes the connection of an agent.
func (r *remoted) closePeer(id string) {
	if p := r.findPeer(id); p != nil {
		_ = p.conn.Close()
	}
}

// sendPayload sends an agent a message.
func (r *remoted) sendPayload(p *peer, text []byte) error {
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	p.counter.Next()
	wire, err := c.enc.AppendToAgent(secmsg.BeginFrame(c.wire[:0]), p.cipher, p.counter, text)
	c.wire = wire
	if err != nil {
		return err
	}
	secmsg.EndFrame(wire, 0)
	r.messageCounters.bytesOut.Add(uint64(len(wire)))
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = p.conn.Write(wire)
	return err
}
