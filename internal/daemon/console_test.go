package daemon

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/console"
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

// What happened in a day is on disk, whatever there is in memory: the fleet's counts, and each
// agent's changes.
func TestTheConsoleHasADayOfWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	first := startTestNode(t, cfg)
	agents := first.startAgents(keyFile)
	first.waitAllActive("001", "002", "003")
	if err := agents.Fail("002", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	first.awaitAnswer("/api/v1/agents/002/day", http.StatusOK, `"reason":"agent_shutdown"`)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := startTestNode(t, cfg)
	second.awaitAnswer("/api/v1/day", http.StatusOK, `"points":[[0,0,0,3],[0,0,0,3],`)
	_, body := second.get("/api/v1/day")
	var day console.FleetDay
	if err := json.Unmarshal([]byte(body), &day); err != nil || len(day.Points) < 24*60-2 || len(day.Points) > 24*60 {
		t.Fatalf("%d points, %v", len(day.Points), err)
	}
	if last := day.Points[len(day.Points)-1]; last[0]+last[1]+last[2] != 3 || last[1] < 1 || time.Since(day.From) < 23*time.Hour {
		t.Errorf("%v now, since %v", last, day.From)
	}
	_, body = second.get("/api/v1/agents/002/day")
	var one console.AgentDay
	if err := json.Unmarshal([]byte(body), &one); err != nil || len(one.Changes) < 3 {
		t.Fatalf("%v: %s", err, body)
	}
	for _, e := range one.Changes {
		if e.ID != "002" {
			t.Errorf("%+v", e)
		}
	}
}
