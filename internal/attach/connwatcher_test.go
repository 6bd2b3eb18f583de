package attach

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Of several agents behind an address, those that are away have no connection to
// lose. The only one may have come back without having been seen yet.
func TestTheEndOfAConnectionIsNotOfWhoWasAway(t *testing.T) {
	alone, office := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	var asked []detector.AgentID
	d := &connWatcher{
		agentsAt: func(at netip.Addr) []detector.AgentID {
			return map[netip.Addr][]detector.AgentID{alone: {1}, office: {2, 3, 4}}[at]
		},
		isDisconnected: func(id detector.AgentID) bool { return id == 1 || id == 3 },
		probe:          func(id detector.AgentID) { asked = append(asked, id) },
	}
	d.handleClosed(netip.AddrPortFrom(alone, 40000))
	d.handleClosed(netip.AddrPortFrom(office, 40000))
	if !slices.Equal(asked, []detector.AgentID{1, 2, 4}) {
		t.Errorf("asked %v", asked)
	}
}
