package attach

import (
	"fmt"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// A table that is empty, or has lost most of its rows, is doubted: who is not in it is
// watched on for a while, and the link says so. Few that are removed are removed at once.
func TestAgentsThatVanishFromTheTableTogetherAreDoubted(t *testing.T) {
	const agents = 12
	for name, c := range map[string]struct {
		where string
		held  int
	}{
		"all":               {"id > 0", agents},
		"most":              {"id > 2", agents - 2},
		"a quarter of them": {"id > 7", agents - 7},
		"one":               {"id > 11", 0},
		"a few":             {"id > 8", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, agents)
			s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", time.Now().Unix())
			s.startLink(stillSettings, func(c *Config) { c.hold = 2 * time.Second })
			s.waitForCount(detector.Active, agents)
			s.dropDecisions()
			s.removeRows(c.where)
			if c.held == 0 {
				if got := s.waitForChange(agents, detector.Disconnected); got.Reason != detector.AgentRemoved || s.link.Vanished().Held != 0 {
					t.Errorf("%+v, %+v", got, s.link.Vanished())
				}
				return
			}
			s.waitUntil("held", func() bool { return s.link.Vanished().Held == c.held })
			if got := s.link.Vanished(); got.Agents != agents || got.Until.Before(time.Now()) {
				t.Errorf("%+v", got)
			}
			if err := s.manager.Enrol(); err != nil { // their rows are there again
				t.Fatal(err)
			}
			s.waitUntil("all there", func() bool { return s.link.Vanished().Held == 0 })
			if got := s.listChanges(); len(got) != 0 {
				t.Fatalf("%d changes, the first %+v", len(got), got[0])
			}
			s.removeRows(c.where)
			removed := time.Now()
			if got := s.waitForChange(agents, detector.Disconnected); got.Reason != detector.AgentRemoved {
				t.Errorf("%+v", got)
			}
			if held := time.Since(removed); held < 2*time.Second {
				t.Errorf("held for %v", held)
			}
			s.waitUntil("none held", func() bool { return s.link.Vanished() == Vanished{Agents: agents - c.held} })
		})
	}
}

func (s *fixture) removeRows(where string) {
	s.t.Helper()
	if err := s.manager.Exec("DELETE FROM agent WHERE " + where); err != nil {
		s.t.Fatal(err)
	}
}

// So is a table that is empty when Pulse starts: it knows its agents from before.
func TestATableThatIsEmptyAtTheStartIsDoubtedToo(t *testing.T) {
	t.Parallel()
	const agents = 8
	s := startManager(t, agents)
	s.removeRows("id > 0")
	for id := 1; id <= agents; id++ {
		s.before = append(s.before, detector.Restored{Member: detector.Member{ID: detector.AgentID(id), Name: fmt.Sprintf("web-%03d", id), IP: "any"},
			Status: detector.Active, Since: -1, LastSeen: -1, Greeted: true})
	}
	s.startLink(stillSettings, func(c *Config) { c.hold = 2 * time.Second })
	s.waitUntil("held", func() bool { return s.link.Vanished().Held == agents })
	if got := s.fleet.Counts().ByStatus; got[detector.Active] != agents {
		t.Errorf("by status %v", got)
	}
	if err := s.manager.Enrol(); err != nil {
		t.Fatal(err)
	}
	s.updateRows("connection_status = 'active', last_keepalive = ? WHERE id > 0", time.Now().Unix())
	s.waitUntil("all there", func() bool { return s.link.Vanished().Held == 0 })
	s.removeRows("id > 0")
	for id := range detector.AgentID(agents) {
		if got := s.waitForChange(id+1, detector.Disconnected); got.Reason != detector.AgentRemoved {
			t.Errorf("%+v", got)
		}
	}
}
