package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

func TestANodeIsMeasured(t *testing.T) {
	t.Parallel()
	h := run(t, settingsFor(t))
	h.fleet(keyFile)
	h.allActive("001", "002", "003")
	for _, line := range []string{`pulse_agents{status="active"} 3`, `pulse_transitions_total{reason="connected",status="active"} 3`, "pulse_link_connections 3",
		`pulse_nats_up{state="embedded"} 1`, `pulse_outbox_depth{stream="STATUS"} 0`, "pulse_healthy 1", "pulse_link_up 1",
		`pulse_build_info{node="node01",version="1.2.3"} 1`} {
		h.awaitAnswer("/metrics", http.StatusOK, line+"\n")
	}
}

// What was told in an earlier life is shown in this one.
func TestTheConsoleRemembersTheLifeBefore(t *testing.T) {
	t.Parallel()
	cfg := settingsFor(t)
	first := run(t, cfg)
	agents := first.fleet(keyFile)
	first.allActive("001", "002", "003")
	if err := agents.Fail("002", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	first.awaitAnswer("/api/v1/agents/002", http.StatusOK, `"reason":"agent_shutdown"`)
	before := first.node.history.LatestEvents(100)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := run(t, cfg)
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

func TestMessagesOfTheStreamAreReadBack(t *testing.T) {
	const of = `,"security":{"issued_at":1716897361000}}`
	for name, c := range map[string]struct {
		text string
		good bool
		kind history.Kind
	}{
		"a change":                    {`{"status_change":{"agent_id":"001","previous_status":0,"current_status":1,"reason":"connection_lost","timestamp":1716897360}` + of, true, history.Change},
		"a flapping agent":            {`{"agent_flapping":{"agent_id":"001","status_changes":7}` + of, true, history.Flapping},
		"an outage":                   {`{"fleet_outage":{"agents_lost":7,"networks":[{"network":"10.0.0.0/24","agents":7},{"network":"x","agents":1}]}` + of, true, history.Outage},
		"its end":                     {`{"fleet_recovered":{"agents_lost":7}` + of, true, history.Recovered},
		"something else":              {`{"event":{}` + of, false, 0},
		"no JSON":                     {`eyJhbGciOi`, false, 0},
		"an ID that is none":          {`{"status_change":{"agent_id":"x","reason":"startup"}` + of, false, 0},
		"a status that is none":       {`{"status_change":{"agent_id":"001","current_status":4,"reason":"startup"}` + of, false, 0},
		"a status before it":          {`{"status_change":{"agent_id":"001","previous_status":-1,"reason":"startup"}` + of, false, 0},
		"a reason that is none":       {`{"status_change":{"agent_id":"001","reason":"whim"}` + of, false, 0},
		"a flapping agent without ID": {`{"agent_flapping":{}` + of, false, 0},
	} {
		e, ok := eventOf([]byte(c.text))
		if ok != c.good || ok && (e.Kind != c.kind || e.Known.UnixMilli() != 1716897361000) {
			t.Errorf("%s: %+v, %v", name, e, ok)
		}
		if c.kind == history.Outage && (len(e.Fleet.Networks) != 1 || e.Fleet.Networks[0].Lost != 7) {
			t.Errorf("%s: %+v", name, e.Fleet)
		}
		if c.kind == history.Change && ok && (e.To != detector.Disconnected || e.ID != 1) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
