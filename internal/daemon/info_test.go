package daemon

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// What an agent sends of itself is in the message that it is connected, and after a restart
// of the node before it has sent anything. It sends no Wazuh groups, and that is logged
// where a group of agents selects by them.
func TestWhatIsKnownOfAnAgentOutlivesARestart(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.Groups = []config.Group{{Name: "web", WazuhGroups: []string{"web"}, Interval: time.Second, Timeout: time.Minute, MaxMissed: 3, HighAlertThreshold: 8}}
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	known := map[string]event.AgentInfo{}
	h.nextMessage("all agents active", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.CurrentStatus == event.Active {
			known[m.Change.AgentID] = m.Change.AgentInfo
		}
		return len(known) == 3
	})
	for id, i := range known {
		if i.OSName != "Debian GNU/Linux" || i.OSVersion != "12" || i.AgentVersion != "v4.14.7" || i.WazuhGroups != nil {
			t.Errorf("agent %s: %+v", id, i)
		}
	}
	if lines := h.log.about("no agent's Wazuh groups are known"); len(lines) != 1 || !strings.Contains(lines[0], "agent_groups=web") {
		t.Errorf("%q", lines)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = startTestNode(t, cfg)
	want := detector.Info{OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"}
	for id := range detector.AgentID(3) {
		if got, ok := h.node.detector.Agent(id + 1); !ok || detector.ReadInfo(got.Info) != want {
			t.Errorf("agent %v: %+v", id+1, detector.ReadInfo(got.Info))
		}
	}
	writeKeys(t, cfg, "001 web any 1111111111111111\n003 mail any 3333333333333333\n")
	if removed := h.nextChange("002", event.Disconnected); removed.Reason != event.AgentRemoved || removed.OSName != "Debian GNU/Linux" {
		t.Errorf("%+v", removed)
	}
}

// Beside a manager, an agent's messages have the groups that it is in there, and so does
// its group in the settings, with the threshold of its alerts.
func TestBesideAManagerAnAgentsGroupsAreInItsMessages(t *testing.T) {
	t.Parallel()
	m := managed(t)
	for _, statement := range []string{`INSERT INTO "group" (name) VALUES ('default'), ('web')`,
		`INSERT INTO belongs (id_agent, id_group, priority) SELECT 2, id, id FROM "group"`, `UPDATE agent SET "group" = 'default,web' WHERE id = 2`} {
		if err := m.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	cfg.NATS.HighAlertThreshold = 15
	cfg.Groups = []config.Group{{Name: "web", WazuhGroups: []string{"w?b"}, Interval: time.Second, Timeout: time.Minute, MaxMissed: 3, HighAlertThreshold: 1}}
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	h.awaitAnswer("/api/v1/agents/002", http.StatusOK, `"group":"web"`)
	for _, id := range []string{"002", "001"} {
		if err := agents.Fail(id, agentsim.Kill); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"001": "default", "002": "default,web"}
	seen := map[string]bool{}
	h.nextMessage("both losses, and one alert", func(m receivedMessage) bool {
		if m.Change == nil || m.Change.CurrentStatus != event.Disconnected {
			return false
		}
		c := m.Change
		if strings.Join(c.WazuhGroups, ",") != want[c.AgentID] || c.OSName != "Debian GNU/Linux" || c.OSVersion != "12" || c.AgentVersion != "v4.14.7" {
			t.Errorf("agent %s: %+v", c.AgentID, c.AgentInfo)
		}
		alert := strings.HasSuffix(m.Subject, ".alerts.agent_disconnected")
		if alert && c.AgentID != "002" {
			t.Errorf("an alert of agent %s", c.AgentID)
		}
		seen[c.AgentID] = true
		seen["alert"] = seen["alert"] || alert
		return len(seen) == 3 && seen["alert"]
	})
}
