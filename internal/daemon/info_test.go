package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// An agent sends no Wazuh groups, and that is logged where a group of agents selects by them.
func TestWhatAnAgentSendsOfItselfIsKnownWhenItIsActive(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.Groups = []config.Group{{Name: "web", WazuhGroups: []string{"web"}, Interval: time.Second, Timeout: time.Minute, MaxMissed: 3, HighAlertThreshold: 8}}
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	want := detector.Info{OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"}
	if got, ok := h.node.detector.Agent(1); !ok || got.Info != want {
		t.Errorf("%+v", got.Info)
	}
	if lines := h.log.about("no agent's Wazuh groups are known"); len(lines) != 1 || !strings.Contains(lines[0], "agent_groups=web") {
		t.Errorf("%q", lines)
	}
}
