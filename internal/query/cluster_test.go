package query

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	joint "github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// newClusterService is that of node01, which has agent 1; node02 has 2 and 3, and has lost 4.
func newClusterService(t *testing.T) *Service {
	t.Helper()
	f, records := newFleet(t, settings, 1), testsupport.NewRecords(t)
	f.connect(false, 1)
	for id := ownership.AgentID(2); id <= 3; id++ {
		records.Claim("node02", id, ownership.Here)
	}
	records.Claim("node02", 4, ownership.Lost)
	records.Beat("node02")
	all := joint.New(joint.Config{Table: f.Detector, Claims: records, Clock: f.clock,
		Identify: func(id detector.AgentID) joint.Identity { return joint.Identity{Name: fmt.Sprintf("host-%d", id)} }}, joint.Settings{})
	s, _ := newService("node01", all, f.clock)
	s.cfg.Nodes = func() view.NodeList {
		return view.NodeList{Node: "node01", Cluster: true, Nodes: all.ListNodes(view.Node{Name: "node01"}, joint.Beats{}, time.Now())}
	}
	return s
}

func TestOneNodeAnswersForTheWholeCluster(t *testing.T) {
	t.Parallel()
	s := newClusterService(t)
	s.absentDelay = 0
	url := natsServer(t)
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	for body, want := range map[string][]string{
		`{}`:                        {"001 node01 active", "002 node02 active", "003 node02 active", "004 node02 disconnected"},
		`{"node":"node02"}`:         {"002 node02 active", "003 node02 active", "004 node02 disconnected"},
		`{"node":"*1"}`:             {"001 node01 active"},
		`{"node":"node03"}`:         nil,
		`{"limit":2,"after":"001"}`: {"002 node02 active", "003 node02 active"},
		`{"ip":"10.0.0.2"}`:         {"002 node02 active"},
		`{"status":"active","ids":["003","004"]}`: {"003 node02 active"},
	} {
		var got []string
		for _, a := range read[page](c, c.ask("pulse.agents.list", body)).Agents {
			got = append(got, a.ID+" "+a.Node+" "+a.Status)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	if got := read[getAnswer](c, c.ask("pulse.agents.get", `{"id":"003"}`)); got.Node != "node01" || got.Agent.Node != "node02" || got.Agent.Name != "host-3" || got.Agent.IP != "10.0.0.3" {
		t.Errorf("%+v", got)
	}
	c.refused(c.ask("pulse.agents.ping", `{"id":"003"}`), "409", "agent 003 is active on node node02, which alone can send it a keep-alive")
	for _, subject := range []string{"pulse.nodes", "pulse.node01.nodes"} {
		got := read[view.NodeList](c, c.ask(subject, ""))
		if !got.Cluster || len(got.Nodes) != 2 || got.Nodes[0].Name != "node01" || !got.Nodes[0].Self || got.Nodes[1].Agents != 2 || got.Nodes[1].State != view.NodeUp {
			t.Errorf("%+v", got)
		}
	}
}

// The node that has an agent knows most of it, and can ping it.
func TestTheNodeThatHasAnAgentAnswersFirst(t *testing.T) {
	t.Parallel()
	s := newClusterService(t)
	s.absentDelay = time.Hour
	owner := newFleet(t, settings, 3)
	owner.connect(false, 2, 3)
	other, _ := newService("node02", owner, owner.clock)
	url := natsServer(t)
	serve(t, s, connect(t, url))
	serve(t, other, connect(t, url))
	c := newClient(t, url, 2)
	if got := read[getAnswer](c, c.ask("pulse.agents.get", `{"id":"003"}`)); got.Node != "node02" {
		t.Errorf("%+v", got)
	}
	if got := read[view.PingAnswer](c, c.ask("pulse.agents.ping", `{"id":"003"}`)); got.Node != "node02" {
		t.Errorf("%+v", got)
	}
}
