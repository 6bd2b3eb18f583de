package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// overtakeTimeout is for how long an agent's connection must be silent before
// another one may replace it: a manager's connection_overtake_time.
const overtakeTimeout = 60 * time.Second

// closeTimeout is how long a second connection waits for the first to end. An agent
// that reconnects closes the old one first, but its end may be processed later
// than the new one's first message, above all when a whole fleet reconnects.
const closeTimeout = time.Second

// maxFormerAgents is for how many agents that are no longer in client.keys, beyond as
// many as are in it, the histories are kept: an agent removed by mistake comes back.
const maxFormerAgents = 10_000

// registry holds the keys, the current peer of each agent, and the histories. Its lock
// is never held while anything else is waited for.
type registry struct {
	closeTimeout time.Duration

	mu    sync.RWMutex
	keys  *clientkeys.Set
	peers map[detector.AgentID]*peer

	histories     map[detector.AgentID]*history
	networkAgents map[netip.Addr]int // how many agents were last in each network
	unsure        bool               // agents without a history may have had one in an earlier process
}

func newRegistry(keys *clientkeys.Set) *registry {
	return &registry{closeTimeout: closeTimeout, keys: keys, peers: make(map[detector.AgentID]*peer),
		histories: make(map[detector.AgentID]*history), networkAgents: make(map[netip.Addr]int)}
}

func (r *registry) countPeers() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.peers)
}

// findMessageKey returns the key of the agent that a message names, or else of the one
// registered at the address it came from.
func (r *registry) findMessageKey(h secmsg.Header, from netip.Addr) (*clientkeys.Key, error) {
	r.mu.RLock()
	keys := r.keys
	r.mu.RUnlock()
	if h.ID == nil {
		if key, ok := keys.ByAddr(from); ok {
			return key, nil
		}
		return nil, refuse(unknownAgent, fmt.Errorf("no agent is registered at %v", from))
	}
	key, ok := keys.ByID(h.ID)
	if !ok {
		return nil, refuse(unknownAgent, fmt.Errorf("no agent %s", h.ID))
	}
	if !key.IP.Contains(from) {
		return nil, refuseAgentMessage(key.ID, wrongAddress, fmt.Errorf("agent %s is registered at %v, not at %v", h.ID, key.IP, from))
	}
	return key, nil
}

// historyOf returns an agent's history, which it creates if there is none.
func (r *registry) historyOf(id detector.AgentID) *history {
	r.mu.RLock()
	h := r.histories[id]
	r.mu.RUnlock()
	if h != nil {
		return h
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h = r.histories[id]; h == nil {
		h = &history{unsure: r.unsure}
		r.histories[id] = h
	}
	return h
}

// setAgentNetwork records the network in which an agent has authenticated.
func (r *registry) setAgentNetwork(p *peer, addr netip.Addr) {
	addr = strangerNetworkOf(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := p.history; h.network != addr && r.histories[p.id] == h {
		r.clearNetworkLocked(h)
		h.network = addr
		r.networkAgents[addr]++
	}
}

func (r *registry) clearNetworkLocked(h *history) {
	if r.networkAgents[h.network]--; r.networkAgents[h.network] <= 0 {
		delete(r.networkAgents, h.network)
	}
	h.network = netip.Addr{}
}

// countAgentsAt returns how many agents were last in a network, or 1 if there was none
// but one is registered at that address.
func (r *registry) countAgentsAt(network netip.Addr) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := r.networkAgents[network]
	if n == 0 {
		if _, registered := r.keys.ByAddr(network); registered {
			return 1
		}
	}
	return n
}

func (r *registry) keyOfPeer(p *peer) *clientkeys.Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.key
}

// peerOf returns the current peer of an agent, nil if there is none.
func (r *registry) peerOf(id detector.AgentID) *peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.peers[id]
}

// errPeerBusy is returned while an agent has another connection, which may end soon.
var errPeerBusy = errors.New("the agent's other connection has not ended yet")

// addPeer makes p its agent's peer, unless p is a claim. A live connection is not
// replaced; one that was silent for the overtakeTimeout is, and is then returned for the
// caller to end. If there is another connection, addPeer returns errPeerBusy for a
// connection's peer, which can use [registry.addPeerWhenFree], and refuses that of
// datagrams, which never wait.
func (r *registry) addPeer(p *peer, now detector.Instant) (old *peer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old = r.peers[p.id]
	if current, ok := r.keys.ByID([]byte(p.key.ID)); !ok || *current != *p.key {
		return nil, refuse(unknownAgent, fmt.Errorf("agent %s was removed or changed", p.id))
	}
	if p.isClaim && p.conn != nil { // whatever the agent has: it is asked first
		return nil, nil
	}
	switch {
	case old == nil || old.conn == nil || !old.leaving && old.silentFor(now) >= overtakeTimeout:
		if p.isClaim {
			return nil, nil
		}
		r.peers[p.id] = p
		return old, nil
	case p.conn == nil && !old.leaving:
		return nil, refuseInUse(old)
	}
	return nil, errPeerBusy
}

func refuseInUse(old *peer) error {
	return refuseAgentMessage(old.id.String(), keyInUse, fmt.Errorf("agent %s is connected from %v", old.id, old.address()))
}

// addPeerWhenFree adds p as soon as the agent's other connection has ended, so that the
// end is reported before the successor's start. It refuses p if that takes longer than the
// closeTimeout. It waits without a limit for a peer whose end is being reported.
func (r *registry) addPeerWhenFree(p *peer, now func() detector.Instant) (old *peer, err error) {
	timeout := time.NewTimer(r.closeTimeout)
	defer timeout.Stop()
	for {
		select {
		case <-p.endSignal():
			return nil, p.conn.writer.endReason(net.ErrClosed)
		default:
		}
		if old, err = r.addPeer(p, now()); !errors.Is(err, errPeerBusy) {
			return old, err
		}
		busy, leaving, removed := r.watchPeer(p.id)
		if busy == nil {
			continue
		}
		late := timeout.C
		if leaving {
			late = nil
		}
		select {
		case <-removed:
		case <-late:
			busy.addRival(p, now())
			return nil, refuseInUse(busy)
		case <-p.endSignal():
		}
	}
}

// watchPeer returns the peer of an agent, nil for none, whether it is leaving, and a channel that
// is closed when it is out of the registry.
func (r *registry) watchPeer(id detector.AgentID) (p *peer, leaving bool, removed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p = r.peers[id]; p == nil {
		return nil, false, nil
	}
	if p.removed == nil {
		p.removed = make(chan struct{})
	}
	return p, p.leaving, p.removed
}

// removePeer removes p, after calling last, before any successor is added. It does
// nothing if p has been replaced already.
func (r *registry) removePeer(p *peer, last func()) {
	r.mu.Lock()
	current := r.peers[p.id] == p
	p.leaving = current
	r.mu.Unlock()
	if !current {
		return
	}
	defer func() { // also if last panics: successors wait for this
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.peers[p.id] == p { // it is not if datagrams came from the agent meanwhile, with its new key
			delete(r.peers, p.id)
			if p.removed != nil {
				close(p.removed)
			}
		}
	}()
	last()
}

// setKeys replaces the keys by a new reading of client.keys and returns the peers whose
// key, name or address it changed, which must be ended.
func (r *registry) setKeys(keys *clientkeys.Set) (stale []*peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	crowded := len(r.histories) > 2*keys.Len()+maxFormerAgents
	for id := range r.histories { // with another secret, no old message decrypts
		text := id.String()
		was, ok := r.keys.ByID([]byte(text))
		if now, still := keys.ByID([]byte(text)); ok && still && now.Secret != was.Secret || crowded && !still {
			r.clearNetworkLocked(r.histories[id])
			delete(r.histories, id)
		}
	}
	r.keys = keys
	for _, p := range r.peers {
		if key, ok := keys.ByID([]byte(p.key.ID)); !ok || *key != *p.key {
			stale = append(stale, p)
		} else {
			p.key = key // so that the old reading can be freed
		}
	}
	return stale
}
