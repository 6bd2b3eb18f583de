package attach

import (
	"net/netip"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// book knows the agents' names, and which are behind an address.
type book struct {
	mu     sync.RWMutex
	at     map[netip.Addr][]detector.AgentID
	addrOf map[detector.AgentID]netip.Addr
	names  map[detector.AgentID]string
}

// set takes a new reading of all agents.
func (b *book) set(rows []wazuhdb.Row) {
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
	b.at, b.addrOf, b.names = at, addrOf, names
}

// behind returns the agents behind an address. The list may not be changed.
func (b *book) behind(addr netip.Addr) []detector.AgentID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.at[addr]
}

// addr is where an agent is; not valid if that is unknown.
func (b *book) addr(id detector.AgentID) netip.Addr {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.addrOf[id]
}

// name is an agent's name; empty if it is unknown.
func (b *book) name(id detector.AgentID) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.names[id]
}
