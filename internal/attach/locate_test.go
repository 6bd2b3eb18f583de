package attach

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// Agents that connect for the first time after Pulse has read the inventory: the
// ends of their connections are known for theirs all the same.
func TestAnAgentThatCameLaterIsFoundByItsAddress(t *testing.T) {
	s := startManager(t, 3)
	s.startLink(quickSettings)
	s.connectAgents(func(cfg *agentsim.Config) { cfg.Spread = true })
	s.waitForCount(detector.Active, 3)
	s.waitUntil("located", func() bool {
		return slices.Equal(s.link.connWatcher.index.agentsAt(netip.MustParseAddr("127.1.0.2")), []detector.AgentID{2})
	})
	if err := s.agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	s.waitForChange(2, detector.Disconnected)
	// Ends of other processes' connections from the same port are unmatched as well.
	s.waitUntil("the end of its connection matched", func() bool {
		stats := s.link.Stats()
		return stats.Closed > stats.Unmatched
	})
}

func TestTheIndexReplacesAnAgentsAddress(t *testing.T) {
	home, road := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	var b agentIndex
	b.replaceAll([]wazuhdb.Row{{ID: 1, Name: "a", Addr: home.String()}, {ID: 2, Name: "b", Addr: home.String()}, {ID: 3, Name: "c", Addr: "any"}})
	before := b.agentsAt(home)
	b.setAgentAddr(1, road)
	b.setAgentAddr(2, home)
	b.setAgentAddr(3, road)
	b.setAgentAddr(2, netip.Addr{})
	if !slices.Equal(before, []detector.AgentID{1, 2}) {
		t.Errorf("who had the list sees it change: %v", before)
	}
	if got := b.agentsAt(home); !slices.Equal(got, []detector.AgentID{2}) {
		t.Errorf("at home: %v", got)
	}
	if got := b.agentsAt(road); !slices.Equal(got, []detector.AgentID{1, 3}) {
		t.Errorf("on the road: %v", got)
	}
}

// Whether an agent was shut down is read before the grace of its connection is over.
func TestAClosedConnectionIsAReasonToRead(t *testing.T) {
	s := startManager(t, 1)
	clock := detector.NewClock()
	fleet := detector.New(quickSettings, clock, func([]detector.Decision) {})
	link, err := Open(Config{Home: s.manager.Home(), Method: detector.Request, MaxInFlight: 1, Clock: clock, Fleet: fleet, Log: slog.New(s.log)})
	if err != nil {
		t.Fatal(err)
	}
	link.reader.period = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { fleet.Run(ctx) })
	running.Go(func() { link.tracker.runTracker(ctx) })
	running.Go(func() { link.reader.runReader(ctx) })
	defer running.Wait()
	defer cancel()
	for before := uint64(0); before < 9; {
		s.waitUntil("read", func() bool { return s.manager.Queried("sql") > before })
		before = s.manager.Queried("sql")
		link.tracker.events.sendEvent(ctx, connClosed{[]detector.AgentID{1}})
	}
}
