package attach

import (
	"testing"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// A manager before 4.4 has another socket for requests, and one before 4.6 does not
// tell why an agent is disconnected.
func TestAnOlderManagerIsAttachedToAsWell(t *testing.T) {
	t.Parallel()
	s := startManager(t, 2, func(c *managersim.Config) { c.Version = "v4.3.11" })
	if err := s.manager.Exec("UPDATE agent SET version = 'Wazuh v4.3.11' WHERE id = 0"); err != nil {
		t.Fatal(err)
	}
	s.connectAgents()
	s.startLink(quickSettings)
	s.waitForLog("agents read from wazuh-db manager=Wazuh v4.3.11 agents=2")
	s.waitForCount(detector.Active, 2)
	s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged && d.ID == 2 })
	if err := s.agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if got := s.waitForChange(2, detector.Disconnected); got.Reason != detector.ConnectionLost {
		t.Errorf("%+v", got)
	}
	s.waitUntil("marked at the manager", func() bool {
		row, err := s.manager.Agent(2)
		return err == nil && row.Status == "disconnected" && len(s.manager.Events()) == 1
	})
	if err := s.agents.Revive("002"); err != nil {
		t.Fatal(err)
	}
	s.waitForChange(2, detector.Active)
	if got := s.link.Stats(); got.Problem != "" || got.Written != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAManagerThatIsTooOldIsRefusedWithTheWayOut(t *testing.T) {
	s := startManager(t, 1)
	if err := s.manager.Exec("UPDATE metadata SET value = '2'"); err != nil {
		t.Fatal(err)
	}
	s.startLink(quickSettings)
	s.waitForLog("wazuh-db's tables are of version 2, and Pulse needs 3 at least: update the manager to Wazuh 4.3 or later")
	if err := s.manager.Exec("UPDATE metadata SET value = '7'"); err != nil {
		t.Fatal(err)
	}
	s.waitForLog("wazuh-db is there again")
}
