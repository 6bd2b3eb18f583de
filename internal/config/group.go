package config

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// Group is an <agent_group> of <manager_keepalive>: settings of its own for the agents that its selectors match. An
// agent belongs to the first group in [Config.Groups] that matches it. [Load] gives every group at least one selector
// and fills in what it does not set itself from <manager_keepalive> and <nats>.
type Group struct {
	Name      string         // unique: 1 to 64 bytes of letters, digits, - and _
	IDs       []IDRange      // in rising order, no two overlapping
	Names     []string       // patterns as path.Match has them, minding case
	Addresses []netip.Prefix // masked, without zones; IPv4 never mapped into IPv6

	Interval           time.Duration
	Timeout            time.Duration // at least Interval
	MaxMissed          int
	HighAlertThreshold int
}

// IDRange is the agent ids from Lo to Hi, both included.
type IDRange struct{ Lo, Hi uint32 }

// Matches reports whether a selector of the group matches an agent: its id, its name or the address it was seen at. The
// zero address, of an agent whose address is unknown, matches none. It allocates nothing.
func (g *Group) Matches(id uint32, name string, addr netip.Addr) bool {
	return g.matchesID(id) || g.matchesName(name) || g.matchesAddress(addr)
}

func (g *Group) matchesID(id uint32) bool {
	_, found := slices.BinarySearchFunc(g.IDs, id, func(r IDRange, id uint32) int {
		switch {
		case r.Hi < id:
			return -1
		case r.Lo > id:
			return 1
		}
		return 0
	})
	return found
}

// patternSigns are the bytes that do not stand for themselves in a pattern.
const patternSigns = `*?[\`

func (g *Group) matchesName(name string) bool {
	if name == "" {
		return false
	}
	for _, p := range g.Names {
		// The first byte rules out most patterns, at a tenth of the cost of path.Match.
		if p == "" || p[0] != name[0] && strings.IndexByte(patternSigns, p[0]) < 0 {
			continue
		}
		if ok, _ := path.Match(p, name); ok { // Load has refused malformed patterns
			return true
		}
	}
	return false
}

func (g *Group) matchesAddress(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // a prefix contains neither
	return slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
}
