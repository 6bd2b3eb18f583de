package metrics

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// whole returns a node with a value for everything.
func whole() Node {
	return Node{Agents: detector.Counts{ByStatus: [4]int{5, 4, 3, 2}, Dormant: 1}, Connections: 8, Accepted: 20, Received: map[string]int64{"keepalive": 7}, Refused: map[string]int64{"wrong_key": 2}, HostProbes: map[string]int64{"answers": 1, "silent": 2, "unknown": 0},
		Started: time.Unix(1716890000, 0), Sequence: 99, Healthy: true, Conditions: map[string]int64{"dead_letters": 1}, Expiries: map[string]int64{"tls_cert": 1716990000}, Silences: map[string]int64{"active": 2}, AgentsSilenced: 3, SilencesRefused: 1, Requests: map[string]int64{"answered": 4}, InFlight: 2, ManagerAgents: map[string]int64{"database": 5}, NotAskedLostAfter: 80, LinkUp: true, StatusesWritten: 1, AlertsRaised: 1, ManagerEvents: 2, ManagerDropped: 1, NATS: "connected", NATSUp: true, EventsDropped: 1, Subscribers: 3, Audit: &Audit{Lines: 7, Missing: 1, Writable: true},
		Streams:    []Stream{{Name: "STATUS", Published: 10, Forwarded: 6, Backlog: 4, DeadLetters: 1, Bytes: 4096, Oldest: time.Now().Add(-time.Minute)}, {Name: "TELEMETRY", Dropped: 5}},
		Cluster:    &Cluster{Nodes: map[string]int64{"up": 2, "lost": 1}, Loaded: true, Agents: 5, Claims: 9, Bytes: 540, BeatAge: 2},
		Forwarding: Forwarding{Errors: 2, LoginsRefused: 1}}
}

func gathered(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	list, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*dto.MetricFamily)
	for _, f := range list {
		all[f.GetName()] = f
	}
	return all
}

func TestDecisionsAreCounted(t *testing.T) {
	m := New("node01", "1.2.3", whole)
	now := detector.Instant(100 * time.Second)
	m.CountDecisions([]detector.Decision{
		{Verdict: detector.Send}, {Verdict: detector.Send}, {Verdict: detector.Acknowledged, RTT: 3 * time.Millisecond}, {Verdict: detector.Failed},
		{Verdict: detector.Changed, To: detector.Disconnected, Reason: detector.MissedKeepAlives, Seen: true, Evidence: detector.Evidence{Host: detector.HostAnswers}, LastSeen: now.Add(-20 * time.Second)},
		{Verdict: detector.Changed, To: detector.Disconnected, Reason: detector.AgentShutdown, Seen: true, LastSeen: now.Add(-time.Hour)},
		{Verdict: detector.Changed, To: detector.Disconnected, Reason: detector.KeepAliveTimeout},
		{Verdict: detector.Changed, To: detector.Active, Reason: detector.Reconnected},
		{Verdict: detector.Escalated}, {Verdict: detector.AlertReleased}, {Verdict: detector.ProbeHost},
		{Verdict: detector.Flapping}, {Verdict: detector.OutageBegan}, {Verdict: detector.Resumed, Pause: 3 * time.Second},
	}, now)
	m.CountUnsent()
	want := `
# HELP pulse_keepalives_sent_total Keep-alives that were due and handed to the link.
# TYPE pulse_keepalives_sent_total counter
pulse_keepalives_sent_total 2
# HELP pulse_keepalives_unsent_total Keep-alives that could not be sent.
# TYPE pulse_keepalives_unsent_total counter
pulse_keepalives_unsent_total 1
# HELP pulse_fleet_outage 1 while a fleet outage goes on.
# TYPE pulse_fleet_outage gauge
pulse_fleet_outage 1
# HELP pulse_starved_seconds_total Time for which Pulse itself was stopped or starved.
# TYPE pulse_starved_seconds_total counter
pulse_starved_seconds_total 3
# HELP pulse_transitions_total Status changes of agents, by the new status and the reason.
# TYPE pulse_transitions_total counter
pulse_transitions_total{reason="agent_moved",status="disconnected"} 0
pulse_transitions_total{reason="node_lost",status="disconnected"} 0
pulse_transitions_total{reason="agent_removed",status="disconnected"} 0
pulse_transitions_total{reason="agent_shutdown",status="disconnected"} 1
pulse_transitions_total{reason="connected",status="active"} 0
pulse_transitions_total{reason="connection_lost",status="disconnected"} 0
pulse_transitions_total{reason="keepalive_timeout",status="disconnected"} 1
pulse_transitions_total{reason="missed_keepalives",status="disconnected"} 1
pulse_transitions_total{reason="reconnected",status="active"} 1
pulse_transitions_total{reason="startup",status="pending"} 0
# HELP pulse_escalations_total Times that an agent had been away for one of escalate_after.
# TYPE pulse_escalations_total counter
pulse_escalations_total 1
# HELP pulse_losses_total Losses of agents, by whether the agent's host answers.
# TYPE pulse_losses_total counter
pulse_losses_total{host="answers"} 1
pulse_losses_total{host="silent"} 0
pulse_losses_total{host="unknown"} 1
# HELP pulse_agents Agents by status; the disconnected that are away for dormant_after or longer are dormant instead.
# TYPE pulse_agents gauge
pulse_agents{status="active"} 5
pulse_agents{status="disconnected"} 3
pulse_agents{status="dormant"} 1
pulse_agents{status="never_connected"} 2
pulse_agents{status="pending"} 3
`
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(want), "pulse_keepalives_sent_total", "pulse_keepalives_unsent_total",
		"pulse_fleet_outage", "pulse_starved_seconds_total", "pulse_transitions_total", "pulse_agents",
		"pulse_escalations_total", "pulse_losses_total"); err != nil {
		t.Error(err)
	}
	all := gathered(t, m)
	if h := all["pulse_detection_delay_seconds"].Metric[0].Histogram; h.GetSampleCount() != 1 || h.GetSampleSum() != 20 {
		t.Errorf("detection delay: %v", h)
	}
	if h := all["pulse_round_trip_seconds"].Metric[0].Histogram; h.GetSampleCount() != 1 || h.GetSampleSum() != .003 {
		t.Errorf("round trip: %v", h)
	}
	if age := all["pulse_outbox_age_seconds"].Metric; age[0].Gauge.GetValue() < 60 || age[0].Gauge.GetValue() > 600 || age[1].Gauge.GetValue() != 0 {
		t.Errorf("age: %v", age)
	}
	m.CountDecisions([]detector.Decision{{Verdict: detector.OutageEnded}}, now)
	if v := gathered(t, m)["pulse_fleet_outage"].Metric[0].Gauge.GetValue(); v != 0 {
		t.Errorf("the outage is over: %v", v)
	}
	m.RestoreOutage()
	if v := gathered(t, m)["pulse_fleet_outage"].Metric[0].Gauge.GetValue(); v != 1 {
		t.Errorf("an outage of the life before: %v", v)
	}
}

func TestTheDetectorsPaceIsAHistogram(t *testing.T) {
	n := whole()
	n.Pace.Lateness[3], n.Pace.Lateness[100] = 90, 10 // 3 µs, and seconds
	h := gathered(t, New("node01", "1.2.3", func() Node { return n }))["pulse_sweep_lateness_seconds"].Metric[0].Histogram
	if h.GetSampleCount() != 100 || h.Bucket[0].GetCumulativeCount() != 90 || h.Bucket[len(h.Bucket)-1].GetCumulativeCount() != 100 {
		t.Errorf("%v", h)
	}
	for i := 1; i < len(h.Bucket); i++ {
		if h.Bucket[i].GetCumulativeCount() < h.Bucket[i-1].GetCumulativeCount() {
			t.Errorf("it falls: %v", h)
		}
	}
}

func TestNamesAndUnitsAreAsPrometheusWantsThem(t *testing.T) {
	problems, err := testutil.GatherAndLint(New("node01", "1.2.3", whole).Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A node without NATS, and a link that counts nothing.
func TestANodeWithoutNATSHasNoOutbox(t *testing.T) {
	all := gathered(t, New("node01", "1.2.3", func() Node { return Node{} }))
	for _, none := range []string{"pulse_outbox_depth", "pulse_nats_up", "pulse_link_refusals_total"} {
		if all[none] != nil {
			t.Errorf("%s is there", none)
		}
	}
}

// Every metric has a row in the docs, and every row a metric.
func TestEveryMetricIsExplained(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "dashboard.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := gathered(t, New("node01", "1.2.3", whole))
	for name := range all {
		if strings.HasPrefix(name, "pulse_") && !bytes.Contains(text, []byte("\n| `"+name+"`")) {
			t.Errorf("docs/dashboard.md has no row for %s: %s", name, all[name].GetHelp())
		}
	}
	for line := range strings.Lines(string(text)) {
		if cell, ok := strings.CutPrefix(line, "| `pulse_"); ok {
			name, _, _ := strings.Cut(cell, "`")
			if all["pulse_"+name] == nil {
				t.Errorf("docs/dashboard.md explains pulse_%s, which is no metric", name)
			}
		}
	}
}
