package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestTheNodesAreATable(t *testing.T) {
	now := time.Unix(1716897300, 0)
	hour, moment := now.Add(-time.Hour), now.Add(-32*time.Second)
	list := view.NodeList{Node: "node01", Cluster: true, Nodes: []view.Node{
		{Name: "node01", Self: true, Role: "master", Version: "0.1.0", Agents: 4021, Since: &hour, State: view.NodeUp},
		{Name: "node02\x1b", Role: "worker", Version: "0.1.0", Agents: 3977, Since: &moment, State: view.NodeLost},
		{Name: "node03", Role: "worker", State: view.NodeUnknown}}}
	want := `NAME     ROLE    VERSION  AGENTS  SINCE  STATE
node01   master  0.1.0    4021    1h00m  up (this one)
node02?  worker  0.1.0    3977    32s    lost
node03   worker  -        0       -      unknown
`
	var text strings.Builder
	if err := printNodes(&text, &list, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestInAClusterTheFleetHasNodes(t *testing.T) {
	now := time.Unix(1716897300, 0)
	fleet := view.AgentPage{Agents: []view.LocatedAgent{
		{Agent: view.Agent{ID: "001", Name: "web", IP: "10.0.0.1", Status: "active", Node: "node02", Since: now.Add(-time.Minute)}},
		{Agent: view.Agent{ID: "002", IP: "10.0.0.2", Status: "active", Node: "node01", Coarse: true, Since: now.Add(-time.Minute)}}}}
	want := `ID   NAME  IP        NODE     STATUS  REASON  SINCE  SEEN  MISSED  RTT  VERSION  SYSTEM  GROUPS
001  web   10.0.0.1  node02   active  -       1m0s   -     0       -    -        -       -
002  -     10.0.0.2  node01~  active  -       1m0s   -     0       -    -        -       -
2 agents
`
	var text strings.Builder
	if err := printAgents(&text, &fleet, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}
