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

// overtakeTime is for how long an agent's connection has to be silent before
// another one may take its place: a manager's connection_overtake_time.
const overtakeTime = 60 * time.Second

// closeTime is how long a second connection waits for the first to end. An agent
// that comes back closes the old one first, but its end may be noticed later
// than the new one's first message, above all when a whole fleet comes back.
const closeTime = time.Second

// formerAgents is of how many agents that are not in client.keys any more, beyond as
// many as are in it, the histories are kept: who was removed by mistake comes back.
const formerAgents = 10_000

// registry knows the keys, and which peer speaks for an agent. Its lock is
// never held while anything else is waited for.
type registry struct {
	closeTime time.Duration

	mu    sync.RWMutex
	keys  *clientkeys.Set
	peers map[detector.AgentID]*peer

	histories map[detector.AgentID]*history
	homes     map[netip.Addr]int // how many agents were last in a network
	unsure    bool               // agents without a history may have had one in an earlier life of the node
}

func newRegistry(keys *clientkeys.Set) *registry {
	return &registry{closeTime: closeTime, keys: keys, peers: make(map[detector.AgentID]*peer), histories: make(map[detector.AgentID]*history), homes: make(map[netip.Addr]int)}
}

func (r *registry) size() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.peers)
}

// find returns the key of the agent that a message is from: the one it names,
// or the one registered at the address it came from.
func (r *registry) find(h secmsg.Header, from netip.Addr) (*clientkeys.Key, error) {
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
		return nil, refuseAs(key.ID, wrongAddress, fmt.Errorf("agent %s is registered at %v, not at %v", h.ID, key.IP, from))
	}
	return key, nil
}

// historyOf returns an agent's history, which begins if there is none.
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

// moveHome notes where an agent has proven to be.
func (r *registry) moveHome(p *peer, addr netip.Addr) {
	addr = networkOf(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := p.history; h.home != addr && r.histories[p.id] == h {
		r.leaveHome(h)
		h.home = addr
		r.homes[addr]++
	}
}

func (r *registry) leaveHome(h *history) {
	if r.homes[h.home]--; r.homes[h.home] <= 0 {
		delete(r.homes, h.home)
	}
	h.home = netip.Addr{}
}

// agentsAt returns how many agents were last in a network, or one that is registered at
// an address of it alone.
func (r *registry) agentsAt(network netip.Addr) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := r.homes[network]
	if n == 0 {
		if _, registered := r.keys.ByAddr(network); registered {
			return 1
		}
	}
	return n
}

// keyOf returns a peer's key.
func (r *registry) keyOf(p *peer) *clientkeys.Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return p.key
}

// peerOf returns the peer that speaks for an agent, nil if there is none.
func (r *registry) peerOf(id detector.AgentID) *peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.peers[id]
}

// errBusy says that an agent's connection may end soon: it is worth waiting.
var errBusy = errors.New("the agent's other connection has not ended yet")

// enter makes p its agent's peer. A live connection is not replaced; one that
// was silent for the overtake time is, and then returned for the caller to end.
// Where there is another one, a connection's peer is to [registry.await] its end, which is
// reported before its successor's start. Datagrams' peer is refused: they never wait.
// A peer that claims to be an agent's without a proof gets no more than the answer.
func (r *registry) enter(p *peer, now detector.Instant) (old *peer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old = r.peers[p.id]
	if current, ok := r.keys.ByID([]byte(p.key.ID)); !ok || *current != *p.key {
		return nil, refuse(unknownAgent, fmt.Errorf("agent %s was removed or changed", p.id))
	}
	switch {
	case old == nil || old.conn == nil || !old.leaving && old.silence(now) >= overtakeTime:
		if p.claims {
			return nil, nil
		}
		r.peers[p.id] = p
		return old, nil
	case p.conn == nil && !old.leaving:
		return nil, inUse(old)
	}
	return nil, errBusy
}

func inUse(old *peer) error {
	return refuseAs(old.id.String(), keyInUse, fmt.Errorf("agent %s is connected from %v", old.id, old.addr()))
}

// await enters p as soon as the agent's other connection has ended, or refuses it
// if that does not within the closeTime. One that is on its way out is waited for.
func (r *registry) await(p *peer, now func() detector.Instant) (old *peer, err error) {
	patience := time.NewTimer(r.closeTime)
	defer patience.Stop()
	for {
		select {
		case <-p.ended():
			return nil, p.conn.out.reason(net.ErrClosed)
		default:
		}
		if old, err = r.enter(p, now()); !errors.Is(err, errBusy) {
			return old, err
		}
		r.mu.RLock()
		busy := r.peers[p.id]
		leaving := busy != nil && busy.leaving
		r.mu.RUnlock()
		if busy == nil {
			continue
		}
		late := patience.C
		if leaving {
			late = nil
		}
		select {
		case <-busy.left:
		case <-late:
			return nil, inUse(busy)
		case <-p.ended():
		}
	}
}

// leave takes p out, calling last before any successor may enter, unless p has
// been replaced already.
func (r *registry) leave(p *peer, last func()) {
	r.mu.Lock()
	current := r.peers[p.id] == p
	p.leaving = current
	r.mu.Unlock()
	if !current {
		return
	}
	defer func() { // also when last panics: successors wait for this
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.peers[p.id] == p { // datagrams may have come from the agent meanwhile, with its new key
			delete(r.peers, p.id)
			close(p.left)
		}
	}()
	last()
}

// setKeys takes a new reading of client.keys and returns the peers whose key,
// name or address it changed: they have to go.
func (r *registry) setKeys(keys *clientkeys.Set) (stale []*peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	crowded := len(r.histories) > 2*keys.Len()+formerAgents
	for id := range r.histories { // with another secret, no old message decrypts
		text := id.String()
		was, ok := r.keys.ByID([]byte(text))
		if now, still := keys.ByID([]byte(text)); ok && still && now.Secret != was.Secret || crowded && !still {
			r.leaveHome(r.histories[id])
			delete(r.histories, id)
		}
	}
	r.keys = keys
	for _, p := range r.peers {
		if key, ok := keys.ByID([]byte(p.key.ID)); !ok || *key != *p.key {
			stale = append(stale, p)
		} else {
			p.key = key // lets go of the old reading
		}
	}
	return stale
}
