package attach

import (
	"net/netip"
	"slices"
	"sync"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// agentIndex has the agents' names and addresses, and which agents have an address. The
// tracker changes it; it may be read concurrently.
type agentIndex struct {
	mu    sync.RWMutex
	ids   map[netip.Addr][]detector.AgentID
	addrs map[detector.AgentID]netip.Addr
	names map[detector.AgentID]string

	passive map[detector.AgentID]bool   // see passive.go
	coarse  map[detector.AgentID]string // see coarse.go: the agents' nodes
}

// replaceAll replaces all with a new reading.
func (x *agentIndex) replaceAll(rows []wazuhdb.Row) {
	at, addrOf := make(map[netip.Addr][]detector.AgentID), make(map[detector.AgentID]netip.Addr, len(rows))
	names, passive := make(map[detector.AgentID]string, len(rows)), make(map[detector.AgentID]bool)
	for i := range rows {
		id := detector.AgentID(rows[i].ID)
		names[id] = rows[i].Name
		if rows[i].Passive != 0 {
			passive[id] = true
		}
		if addr := rows[i].ParseAddr(); addr.IsValid() {
			at[addr] = append(at[addr], id)
			addrOf[id] = addr
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ids, x.addrs, x.names, x.passive = at, addrOf, names, passive
}

// addAgent adds an agent.
func (x *agentIndex) addAgent(r *wazuhdb.Row) {
	id := r.AgentID()
	x.mu.Lock()
	if x.names == nil {
		x.ids, x.addrs, x.names, x.passive = make(map[netip.Addr][]detector.AgentID), make(map[detector.AgentID]netip.Addr), make(map[detector.AgentID]string), make(map[detector.AgentID]bool)
	}
	x.names[id] = r.Name
	x.mu.Unlock()
	x.setAgentAddr(id, r.ParseAddr())
}

// setCoarse sets the node of an agent that is watched by its row only.
func (x *agentIndex) setCoarse(id detector.AgentID, node string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.coarse == nil {
		x.coarse = make(map[detector.AgentID]string)
	}
	if x.coarse[id] = node; node == "" {
		delete(x.coarse, id)
	}
}

func (x *agentIndex) coarseNode(id detector.AgentID) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.coarse[id]
}

// agentsAt returns the agents with an address. The list may not be changed.
func (x *agentIndex) agentsAt(addr netip.Addr) []detector.AgentID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.ids[addr]
}

// addrOfAgent returns an agent's address; not valid if that is unknown.
func (x *agentIndex) addrOfAgent(id detector.AgentID) netip.Addr {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.addrs[id]
}

// isPassive reports whether no request can be sent to an agent.
func (x *agentIndex) isPassive(id detector.AgentID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.passive[id]
}

func (x *agentIndex) setPassive(id detector.AgentID, is bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if is {
		x.passive[id] = true
	} else {
		delete(x.passive, id)
	}
}

// nameOfAgent returns an agent's name; empty if it is unknown.
func (x *agentIndex) nameOfAgent(id detector.AgentID) string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.names[id]
}

// Identify returns the name of an agent that the manager has, the address that it is registered
// under and what else is known of it; nothing of one that is unknown. It may be called concurrently.
func (l *Link) Identify(id detector.AgentID) (name, registered string, info unique.Handle[detector.Info]) {
	if a, ok := l.tracker.owners.others.findOther(id); ok && a.name != "" {
		return a.name, a.registered, a.info
	}
	return l.tracker.index.nameOfAgent(id), "", info
}

// setAgentAddr replaces an agent's address.
func (x *agentIndex) setAgentAddr(id detector.AgentID, now netip.Addr) {
	x.mu.Lock()
	defer x.mu.Unlock()
	was, known := x.addrs[id]
	if known && was == now || !now.IsValid() {
		return
	}
	if known { // callers of agentsAt may still read the old list
		x.ids[was] = slices.DeleteFunc(slices.Clone(x.ids[was]), func(other detector.AgentID) bool { return other == id })
	}
	x.ids[now] = append(slices.Clone(x.ids[now]), id)
	x.addrs[id] = now
}

// networkOfAgent returns an agent's network: a /24 of IPv4 or a /64 of IPv6; not valid if its
// address is unknown.
func (x *agentIndex) networkOfAgent(id detector.AgentID) netip.Prefix {
	addr := x.addrOfAgent(id)
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	network, _ := addr.Prefix(bits) // the bits fit
	return network
}
