package attach

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// Of several agents behind an address, those that are away have no connection to
// lose. The only one may have come back without having been seen yet.
func TestTheEndOfAConnectionIsNotOfWhoWasAway(t *testing.T) {
	alone, office := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	index, fleet := new(agentIndex), &awayFleet{away: []detector.AgentID{1, 3}}
	index.replaceAll([]wazuhdb.Row{{ID: 1, Name: "a", Addr: alone.String()}, {ID: 2, Name: "b", Addr: office.String()},
		{ID: 3, Name: "c", Addr: office.String()}, {ID: 4, Name: "d", Addr: office.String()}})
	w := &connWatcher{index: index, fleet: fleet, events: make(eventQueue, 2)}
	w.handleClosedConn(t.Context(), netip.AddrPortFrom(alone, 40000))
	w.handleClosedConn(t.Context(), netip.AddrPortFrom(office, 40000))
	var asked []detector.AgentID
	for range len(w.events) {
		asked = append(asked, (<-w.events).(connClosed).agents...)
	}
	if !slices.Equal(asked, []detector.AgentID{1, 2, 4}) {
		t.Errorf("asked %v", asked)
	}
}

// awayFleet is a fleet of which some agents are disconnected.
type awayFleet struct {
	fakeFleet
	away []detector.AgentID
}

func (f *awayFleet) Agent(id detector.AgentID) (detector.Record, bool) {
	status := detector.Active
	if slices.Contains(f.away, id) {
		status = detector.Disconnected
	}
	return detector.Record{ID: id, Status: status}, true
}
