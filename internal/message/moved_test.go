package message

import (
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// An agent that has come from another node is this node's after a restart, and one that is on
// another node is not.
func TestAStartingNodeHasTheAgentsThatMovedToIt(t *testing.T) {
	t.Parallel()
	r := openAlertRun(t)
	change := func(id detector.AgentID, to detector.Status, move *Move) (c event.StatusChange) {
		d := detector.Decision{Verdict: detector.Changed, ID: id, Name: "web", IP: "10.0.0.1", From: detector.Active, To: to, Reason: detector.AgentMoved, Time: r.now}
		record := Record{Decision: d, Group: testGroup, Cluster: move}
		if err := r.outbox.Publish(t.Context(), r.writer.AppendRecord([]outbox.Message{}, &record)); err != nil {
			t.Fatal(err)
		}
		return NewStatusChange(&record)
	}
	c := change(1, detector.Active, &Move{From: "node02", Order: 7})
	if c.FromNode != "node02" || c.ToNode != "" || c.ClusterOrder != 7 || c.AlertLevel != 3 {
		t.Errorf("%+v", c)
	}
	change(2, detector.Active, &Move{To: "node02", Order: 8})
	change(3, detector.Disconnected, nil)
	agents := r.start()
	if len(agents) != 1 || agents[0].ID != 1 || agents[0].Status != detector.Active || !agents[0].Greeted {
		t.Errorf("restored %+v", agents)
	}
}
