package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
)

// testCluster is what is true of a cluster, whose messages the test makes itself.
type testCluster struct {
	*clusterTruth
	out bytes.Buffer
}

// newTestCluster has agents at node01.
func newTestCluster(ids ...string) *testCluster {
	c := new(testCluster)
	names := make(map[string]string)
	for _, id := range ids {
		names[id] = "host-" + id
	}
	c.clusterTruth = newClusterTruth(ids, names, &c.out, runStart, new(ClusterReport))
	for _, id := range ids {
		c.change(1, "node01", event.StatusChange{AgentID: id, Reason: event.Connected})
	}
	return c
}

func (c *testCluster) change(when float64, node string, s event.StatusChange) {
	c.handleMessage("p.agent."+s.AgentID+".status_change", node, &event.StatusChangeMessage{StatusChange: s}, at(when))
}

func (c *testCluster) lose(when float64, node, id string, r event.Reason) {
	c.change(when, node, event.StatusChange{AgentID: id, CurrentStatus: event.Disconnected, Reason: r})
}

func (c *testCluster) nodeLost(when float64, by, node string) {
	c.handleMessage("p.alerts.node_lost", by, &event.NodeLostMessage{Lost: &event.NodeLoss{Node: node, AlertLevel: 13}}, at(when))
}

func TestAMoveIsMeasuredUntilItsMessage(t *testing.T) {
	c := newTestCluster("001", "002")
	for _, id := range []string{"001", "002"} {
		c.recordMove(id, "node02", at(2))
	}
	c.change(2.2, "node02", event.StatusChange{AgentID: "001", Reason: event.AgentMoved, FromNode: "node01"})
	c.change(2.4, "node02", event.StatusChange{AgentID: "002", Reason: event.AgentMoved, FromNode: "node01"})
	c.printGroups(at(4))
	if r := c.report; r.Moved != 2 || r.Moves != 2 || r.SlowestMoveMS != 400 || r.Err() != nil {
		t.Errorf("%+v, %v", r, r.Err())
	}
	if line := "2.2s  → node02: 2 agents moved here from node01: the last known after 400ms\n"; !strings.Contains(c.out.String(), line) {
		t.Errorf("no %q in\n%s", line, &c.out)
	}
}

func TestTheLossOfANodeIsMeasuredAndItsAgentsAreNoFalseLosses(t *testing.T) {
	c := newTestCluster("001", "002")
	c.killed, c.killedAt = "node01", at(10)
	c.recordEndWith("001", "node01")
	c.recordMove("002", "node02", at(10))
	c.change(10.5, "node02", event.StatusChange{AgentID: "002", Reason: event.AgentMoved, FromNode: "node01"})
	c.nodeLost(37, "node02", "node01")
	c.lose(45, "node02", "001", event.NodeLost)
	c.restartedAt = at(50)
	c.recordReturn("001")
	c.change(51, "node01", event.StatusChange{AgentID: "001", Reason: event.Reconnected})
	c.handleMessage("p.alerts.node_lost", "node01", &event.NodeLostMessage{Back: &event.NodeLoss{Node: "node01"}}, at(52))
	c.findMissed(at(1000))
	r := c.report
	if err := r.Err(); err != nil || *r.NodeLostAfterMS != 27000 || r.NodeLostBy != "node02" || r.AgentsLostWithNode != 1 || *r.NodeBackAfterMS != 2000 {
		t.Errorf("%+v, %v", r, err)
	}
	var text bytes.Buffer
	r.WriteText(&text)
	if !strings.Contains(text.String(), "node lost:   after 27s, by node02") {
		t.Errorf("%s", &text)
	}
}

// Whatever is false, missing or twice is found.
func TestWhatIsFalseInAClusterIsFound(t *testing.T) {
	for _, tt := range []struct {
		name string
		what func(*testCluster)
		want string
	}{
		{"a loss of an agent that lives", func(c *testCluster) { c.lose(5, "node01", "001", event.ConnectionLost) }, "agents called dead that lived: 1"},
		{"a loss of one that moves", func(c *testCluster) {
			c.recordMove("001", "node02", at(5))
			c.lose(6, "node01", "001", event.ConnectionLost)
		}, "agents called dead that lived: 1"},
		{"a second loss", func(c *testCluster) {
			c.recordDeath("001", at(5))
			c.lose(6, "node01", "001", event.ConnectionLost)
			c.lose(7, "node02", "001", event.NodeLost)
		}, "agents called dead that lived: 1"},
		{"a move that is a loss and a return", func(c *testCluster) {
			c.recordMove("001", "node02", at(5))
			c.change(7, "node02", event.StatusChange{AgentID: "001", Reason: event.Reconnected})
		}, "a loss and a return: 1 of 1"},
		{"a move that is reported twice", func(c *testCluster) {
			c.recordMove("001", "node02", at(5))
			for range 2 {
				c.change(7, "node02", event.StatusChange{AgentID: "001", Reason: event.AgentMoved})
			}
		}, "called active, or moved, that were not: 1"},
		{"a move to another node than the agent's", func(c *testCluster) {
			c.recordMove("001", "node02", at(5))
			c.change(7, "node03", event.StatusChange{AgentID: "001", Reason: event.AgentMoved})
		}, "called active, or moved, that were not: 1"},
		{"an alert of an agent that lives", func(c *testCluster) {
			c.handleMessage("p.alerts.agent_disconnected", "node01", &event.StatusChangeMessage{StatusChange: event.StatusChange{AgentID: "001"}}, at(5))
		}, "false alerts: 1"},
		{"the loss of a node that lives", func(c *testCluster) { c.nodeLost(5, "node02", "node03") }, "false alerts: 1"},
		{"the loss of a node twice", func(c *testCluster) {
			c.killed, c.killedAt = "node03", at(5)
			c.nodeLost(32, "node02", "node03")
			c.nodeLost(33, "node01", "node03")
		}, "reported 2 times"},
		{"the loss of a node late", func(c *testCluster) {
			c.killed, c.killedAt = "node03", at(5)
			c.nodeLost(45, "node02", "node03")
		}, "reported after 40000 ms"},
		{"an outage", func(c *testCluster) {
			c.handleMessage("p.alerts.fleet_outage", "node01", &event.FleetOutageMessage{Outage: new(event.FleetOutage)}, at(5))
		}, "false alerts: 1"},
		{"a key of two machines", func(c *testCluster) {
			c.handleMessage("p.alerts.agent_duplicated", "node01", &event.AgentDuplicatedMessage{Duplicated: event.AgentDuplicated{AgentID: "001"}}, at(5))
		}, "false alerts: 1"},
		{"no message about a death", func(c *testCluster) { c.recordDeath("001", at(5)) }, "not reported: 001 (death)"},
		{"no message about a move", func(c *testCluster) { c.recordMove("001", "node02", at(5)) }, "not reported: 001 (move)"},
		{"a state that is not true", func(c *testCluster) {
			var s storedState
			s.bucket.Node, s.last.CurrentStatus = "node02", event.Disconnected
			c.report.WrongStates = c.compareStates("001", s)
		}, "active, by node02, in PULSE_AGENTS; disconnected in the last message"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestCluster("001")
			if err := c.report.Err(); err != nil {
				t.Fatal(err)
			}
			tt.what(c)
			c.findMissed(runStart.Add(time.Hour))
			if err := c.report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// That nobody publishes anything for a while is not that everything is read.
func TestAMessageThatIsStoredAndNotReadIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := &clusterWorld{dir: t.TempDir(), prefix: event.DefaultPrefix, messages: make(chan *nats.Msg, 100)}
	if err := w.startServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, r := range w.readers {
			r.Stop()
			<-r.Closed()
		}
		w.client.Close()
		w.server.Shutdown()
		w.server.WaitForShutdown()
	}()
	for i, subject := range []string{w.prefix.StatusChange("001"), w.prefix.KeepAlive("001"), w.prefix.ManagerStatus("node01")} {
		if _, err := w.js.Publish(t.Context(), subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if got := w.countUnread(t.Context(), uint64(i)); got != 1 {
			t.Errorf("after %d of %d were read: %d are unread", i, i+1, got)
		}
	}
	for range 3 {
		<-w.messages
	}
	if got := w.countUnread(t.Context(), 3); got != 0 {
		t.Errorf("after all were read: %d are unread", got)
	}
}

func TestANodeThatIsCutOffAtTheEndIsNotWaitedFor(t *testing.T) {
	w := &clusterWorld{nodes: []*clusterNode{{name: "node01", cut: true}, {name: "node02", dead: true}}}
	if got := w.countWaiting(); got != 0 {
		t.Errorf("%d", got)
	}
}

// What a node could not know while it was cut off, it publishes when it is back, and then takes it back.
func TestTheEndOfADemoWaitsForWhatANodeTakesBack(t *testing.T) {
	p := &clusterRun{reachedAt: at(10)}
	for when, want := range map[float64]bool{10.1: true, 15: true, 20.1: false} {
		if got := p.isSettling(at(when)); got != want {
			t.Errorf("at %v s: %v", when, got)
		}
	}
	if new(clusterRun).isSettling(at(0)) {
		t.Error("without a node that was cut off")
	}
}
