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
	conn  net.Conn
	id    string // "" before its first message
	name  string
	heard atomic.Int64 // Unix nanoseconds of its last message
	stats peerTally

	told string // its last keep-alive; for its reader alone

	writing sync.Mutex // over the cipher and the counter too
	cipher  *secmsg.Cipher
	counter secmsg.Counter
}

// enter makes a connection its agent's, unless the agent has another one that
// was heard lately.
func (r *remoted) enter(p *peer, key *clientkeys.Key) error {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	if old := r.peers[key.ID]; old != nil {
		if time.Since(time.Unix(0, old.heard.Load())) < r.cfg.Overtake {
			return errOccupied
		}
		_ = old.conn.Close()
	}
	p.id, p.name = key.ID, key.Name
	p.stats.since = r.store.now()
	p.counter.Global = uint64(p.stats.since)
	r.peers[key.ID] = p
	_ = p.conn.SetReadDeadline(time.Time{})
	return nil
}

// leave forgets a connection that ended.
func (r *remoted) leave(p *peer) {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	if r.peers[p.id] == p {
		delete(r.peers, p.id)
	}
}

// peer is the connection of an agent; nil without one.
func (r *remoted) peer(id string) *peer {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	return r.peers[id]
}

// part ends the connection of an agent.
func (r *remoted) part(id string) {
	if p := r.peer(id); p != nil {
		_ = p.conn.Close()
	}
}

// send sends an agent a message.
func (r *remoted) send(p *peer, text []byte) error {
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	p.writing.Lock()
	defer p.writing.Unlock()
	p.counter.Next()
	wire, err := c.enc.AppendToAgent(secmsg.BeginFrame(c.wire[:0]), p.cipher, p.counter, text)
	c.wire = wire
	if err != nil {
		return err
	}
	secmsg.EndFrame(wire, 0)
	r.tally.bytesOut.Add(uint64(len(wire)))
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = p.conn.Write(wire)
	return err
}
