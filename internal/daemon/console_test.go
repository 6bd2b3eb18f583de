package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

func TestANodeIsMeasured(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	for _, line := range []string{`pulse_agents{status="active"} 3`, `pulse_transitions_total{reason="connected",status="active"} 3`, "pulse_link_connections 3",
		`pulse_nats_up{state="embedded"} 1`, `pulse_outbox_depth{stream="STATUS"} 0`, "pulse_healthy 1", "pulse_link_up 1",
		`pulse_build_info{node="node01",version="1.2.3"} 1`} {
		h.awaitAnswer("/metrics", http.StatusOK, line+"\n")
	}
}

// What was told in an earlier life is shown in this one.
func TestTheConsoleRemembersTheLifeBefore(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	first := startTestNode(t, cfg)
	agents := first.startAgents(keyFile)
	first.waitAllActive("001", "002", "003")
	if err := agents.Fail("002", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	first.awaitAnswer("/api/v1/agents/002", http.StatusOK, `"reason":"agent_shutdown"`)
	before := first.node.history.LatestEvents(100)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := startTestNode(t, cfg)
	after := second.node.history.LatestEvents(100)
	if len(after) != len(before) {
		t.Fatalf("%d events, before %d", len(after), len(before))
	}
	for i := range after {
		a, b := after[i], before[i]
		if a.Kind != b.Kind || a.ID != b.ID || a.Name != b.Name || a.IP != b.IP || a.From != b.From || a.To != b.To || a.Reason != b.Reason ||
			a.At.Unix() != b.At.Unix() || a.LastSeen.Unix() != b.LastSeen.Unix() {
			t.Errorf("%+v\nwas %+v", a, b)
		}
	}
	if _, body := second.get("/api/v1/changes?limit=1"); !strings.Contains(body, `"to":"disconnected"`) {
		t.Error(body)
	}
}
