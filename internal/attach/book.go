package attach

import (
	"net/netip"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// agentIndex knows the agents' names, and which are behind an address.
type agentIndex struct {
	mu    sync.RWMutex
	ids   map[netip.Addr][]detector.AgentID
	addrs map[detector.AgentID]netip.Addr
	names map[detector.AgentID]string
}

// replaceAll takes a new reading of all agents.
func (b *agentIndex) replaceAll(rows []wazuhdb.Row) {
	at, addrOf := make(map[netip.Addr][]detector.AgentID), make(map[detector.AgentID]netip.Addr, len(rows))
	names := make(map[detector.AgentID]string, len(rows))
	for i := range rows {
		id := detector.AgentID(rows[i].ID)
		names[id] = rows[i].Name
		if addr := rows[i].ParseAddr(); addr.IsValid() {
			at[addr] = append(at[addr], id)
			addrOf[id] = addr
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids, b.addrs, b.names = at, addrOf, names
}

// agentsAt returns the agents behind an address. The list may not be changed.
func (b *agentIndex) agentsAt(addr netip.Addr) []detector.AgentID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.ids[addr]
}

// addrOf is where an agent is; not valid if that is unknown.
func (b *agentIndex) addrOf(id detector.AgentID) netip.Addr {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.addrs[id]
}

// nameOf is an agent's name; empty if it is unknown.
func (b *agentIndex) nameOf(id detector.AgentID) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.names[id]
}
