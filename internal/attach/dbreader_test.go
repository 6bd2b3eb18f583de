package attach

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// fakeFleet is a fleet that records what is reported. All its agents are in one status.
type fakeFleet struct {
	status detector.Status
	all    []detector.Sighting
}

func (s *fakeFleet) Report(seen detector.Sighting)           { s.all = append(s.all, seen) }
func (s *fakeFleet) SetMembers([]detector.Member)            {}
func (s *fakeFleet) AdmitMember(detector.Member)             {}
func (s *fakeFleet) ReportRelayed(detector.Sighting)         {}
func (s *fakeFleet) ReleaseMember(detector.AgentID)          {}
func (s *fakeFleet) ExtendGrace(time.Duration)               {}
func (s *fakeFleet) SetPassive(detector.AgentID, bool)       {}
func (s *fakeFleet) SetPassivePace(_, _ time.Duration)       {}
func (s *fakeFleet) HoldPassive(time.Duration)               {}
func (s *fakeFleet) SetInfo(detector.AgentID, detector.Info) {}
func (s *fakeFleet) Agent(id detector.AgentID) (detector.Record, bool) {
	return detector.Record{ID: id, Status: s.status}, true
}

func (s *fakeFleet) Page(int) (page []detector.Record, more bool) { return nil, false }

// openReader returns a link of which only the tracker runs; the test reads.
func (s *fixture) openReader(fleet Fleet) *Link {
	s.t.Helper()
	link, err := Open(Config{Home: s.manager.Home(), Method: detector.Request, MaxInFlight: 1, Timeout: time.Minute, Clock: detector.NewClock(),
		Fleet: fleet, Log: slog.New(s.log)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(link.db.Close)
	link.prober.setSendingHalted(false)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { link.tracker.runTracker(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	return link
}

func (s *fixture) readOnce(link *Link) {
	s.t.Helper()
	if err := link.reader.readDatabase(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// The first report of an agent that has become active has its address.
func TestAnAgentThatHasComeIsReportedWithItsAddress(t *testing.T) {
	s := startManager(t, 2)
	heard := new(fakeFleet)
	link := s.openReader(heard)
	s.readOnce(link)
	s.connectAgents(func(cfg *agentsim.Config) { cfg.Spread = true })
	s.readOnce(link)
	if len(heard.all) != 2 {
		t.Fatalf("heard %v, want both agents", heard.all)
	}
	for _, seen := range heard.all {
		if want := netip.MustParseAddr(fmt.Sprintf("127.1.0.%d", seen.ID)); seen.Addr != want {
			t.Errorf("agent %v is at %v, want %v", seen.ID, seen.Addr, want)
		}
	}
}

// A mark of monitord's is doubted, and the agent asked. One's own is not: that
// would only be one more error in remoted's log.
func TestOnlyTheMarkOfAnotherIsDoubted(t *testing.T) {
	for status, want := range map[detector.Status]int{detector.Active: 1, detector.Disconnected: 0} {
		s := startManager(t, 1)
		link := s.openReader(&fakeFleet{status: status})
		s.connectAgents()
		if err := s.agents.Fail("001", agentsim.Hang); err != nil { // else it would contradict
			t.Fatal(err)
		}
		s.readOnce(link)
		if _, err := link.db.Query(t.Context(), `global update-connection-status {"id":1,"connection_status":"disconnected","sync_status":"synced","status_code":4}`); err != nil {
			t.Fatal(err)
		}
		s.readOnce(link)
		if got := link.prober.urgent.len(); got != want {
			t.Errorf("an agent that is %v here and marked there: %d are asked, want %d", status, got, want)
		}
	}
}
