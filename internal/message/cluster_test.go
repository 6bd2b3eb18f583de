package message

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

// Alerts of a cluster are read back as they were made, and keep the order of other records.
func TestAlertsOfAClusterAreMessagesAndEvents(t *testing.T) {
	for _, c := range []struct {
		subject string
		alert   ClusterAlert
		want    history.Event
	}{
		{"p.alerts.node_lost", ClusterAlert{Lost: &event.NodeLoss{Node: "node02", Since: seenAt.Unix(), Agents: 5, Manager: event.ManagerSilent, Beat: 7}},
			history.Event{Kind: history.NodeLost, At: decidedAt, LastSeen: seenAt, Cluster: &history.Cluster{Node: "node02", Agents: 5}}},
		{"p.alerts.node_lost", ClusterAlert{Back: &event.NodeLoss{Node: "node01", Agents: 4}},
			history.Event{Kind: history.NodeBack, At: decidedAt, Cluster: &history.Cluster{Node: "node01", Agents: 4}}},
		{"p.alerts.agent_duplicated", ClusterAlert{Duplicated: &event.AgentDuplicated{AgentID: "007", AgentName: "web", Machines: []event.Machine{{Node: "a", IPAddress: "10.0.0.1"}, {Node: "b", IPAddress: "any"}}}},
			history.Event{Kind: history.Duplicated, At: decidedAt, ID: 7, Name: "web", Cluster: &history.Cluster{Machines: []history.Machine{{Node: "a", IP: "10.0.0.1"}, {Node: "b", IP: "any"}}}}},
	} {
		c.alert.Complete("node01", decidedAt)
		w := NewWriter(Source{Node: "node01", Version: "1.0.0", Epoch: 3}, "p")
		r := Record{Alert: c.alert.Clone()}
		messages := w.AppendRecord(nil, &r)
		if len(messages) != 1 || messages[0].Subject != c.subject || r.IsRoutine() || r.IsAlert() {
			t.Fatalf("%+v", messages)
		}
		got, ok := decodeEvent(messages[0].Data)
		got.Known = time.Time{}
		if diff := cmp.Diff(c.want, got, compareInfo); !ok || diff != "" {
			t.Errorf("%v (- want, + got):\n%s", ok, diff)
		}
	}
}

// The alert is that of the node.
func TestALossWithItsNodeIsNoAlert(t *testing.T) {
	r := Record{Decision: detector.Decision{Verdict: detector.Changed, ID: 7, From: detector.Active, To: detector.Disconnected, Reason: detector.NodeLost, Time: decidedAt},
		Group: &Group{AlertThreshold: 1}, Cluster: &Move{From: "node02", Order: 9}}
	messages := NewWriter(Source{Node: "node01", Version: "1.0.0", Epoch: 3}, "p").AppendRecord(nil, &r)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	if c := parseChange(t, messages[0]); c.AlertLevel != 6 || c.Reason != event.NodeLost || c.FromNode != "node02" || c.ClusterOrder != 9 {
		t.Errorf("%+v", c)
	}
}
