package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
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
		if got, ok := h.node.detector.Agent(id + 1); !ok || got.Info != want {
			t.Errorf("agent %v: %+v", id+1, got.Info)
		}
	}
	writeKeys(t, cfg, "001 web any 1111111111111111\n003 mail any 3333333333333333\n")
	if removed := h.nextChange("002", event.Disconnected); removed.Reason != event.AgentRemoved || removed.OSName != "Debian GNU/Linux" {
		t.Errorf("%+v", removed)
	}
}
