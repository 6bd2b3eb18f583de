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
	d := &door{
		behind: func(at netip.Addr) []detector.AgentID {
			return map[netip.Addr][]detector.AgentID{alone: {1}, office: {2, 3, 4}}[at]
		},
		away:  func(id detector.AgentID) bool { return id == 1 || id == 3 },
		check: func(id detector.AgentID) { asked = append(asked, id) },
	}
	d.left(netip.AddrPortFrom(alone, 40000))
	d.left(netip.AddrPortFrom(office, 40000))
	if !slices.Equal(asked, []detector.AgentID{1, 2, 4}) {
		t.Errorf("asked %v", asked)
	}
}
