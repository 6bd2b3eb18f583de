package event

import "testing"

func TestWhichStateOfAnAgentCounts(t *testing.T) {
	for _, c := range []struct {
		name     string
		now, old AgentState
		want     bool
	}{
		{"a later message", AgentState{Node: "a", Epoch: 1, Sequence: 8}, AgentState{Node: "a", Epoch: 1, Sequence: 7}, true},
		{"the same message", AgentState{Node: "a", Epoch: 1, Sequence: 7}, AgentState{Node: "a", Epoch: 1, Sequence: 7}, false},
		{"an earlier message", AgentState{Node: "a", Epoch: 1, Sequence: 6, Since: 9}, AgentState{Node: "a", Epoch: 1, Sequence: 7}, false},
		{"the next life of the node", AgentState{Node: "a", Epoch: 2, Sequence: 1}, AgentState{Node: "a", Epoch: 1, Sequence: 7}, true},
		{"the last life of the node", AgentState{Node: "a", Epoch: 1, Sequence: 9}, AgentState{Node: "a", Epoch: 2, Sequence: 1}, false},
		{"it has moved here", AgentState{Node: "b", Since: 105}, AgentState{Node: "a", Since: 100}, true},
		{"it has moved here, whatever the epochs", AgentState{Node: "b", Epoch: 1, Since: 105}, AgentState{Node: "a", Epoch: 9, Since: 100}, true},
		{"the node it left misses it", AgentState{Node: "a", Status: Disconnected, Since: 180, LastSeen: 104}, AgentState{Node: "b", Since: 105}, false},
		{"it has moved here, and the node it left was quicker to tell", AgentState{Node: "b", Since: 105},
			AgentState{Node: "a", Status: Disconnected, Since: 106, LastSeen: 104}, true},
		{"it is removed where it was, and lives here", AgentState{Node: "a", Status: Disconnected, Since: 300, LastSeen: 104, Removed: true},
			AgentState{Node: "b", Since: 105}, false},
		{"lost there, and never seen", AgentState{Node: "a", Status: Disconnected, Since: 300}, AgentState{Node: "b", Since: 105}, true},
		{"in one second, who is alive", AgentState{Node: "b", Since: 105}, AgentState{Node: "a", Status: Disconnected, Since: 110, LastSeen: 105}, true},
		{"in one second, who is lost", AgentState{Node: "a", Status: Disconnected, Since: 110, LastSeen: 105}, AgentState{Node: "b", Since: 105}, false},
		{"in one second, both alive", AgentState{Node: "b", Since: 105}, AgentState{Node: "a", Since: 105}, false},
		{"after more of what the nodes share, by a clock that is behind", AgentState{Node: "b", Since: 5, ClusterOrder: 8}, AgentState{Node: "a", Since: 100, ClusterOrder: 7}, true},
		{"after less of it, by a clock that is ahead", AgentState{Node: "a", Status: Disconnected, Since: 300, LastSeen: 200, ClusterOrder: 7},
			AgentState{Node: "b", Since: 105, ClusterOrder: 8}, false},
		{"after as much of it, who is alive", AgentState{Node: "b", Since: 5, ClusterOrder: 7}, AgentState{Node: "a", Status: Disconnected, Since: 110, LastSeen: 105, ClusterOrder: 7}, true},
		{"after as much of it, who is lost", AgentState{Node: "a", Status: Disconnected, Since: 110, LastSeen: 105, ClusterOrder: 7}, AgentState{Node: "b", Since: 5, ClusterOrder: 7}, false},
		{"of one node, whatever it had read", AgentState{Node: "a", Epoch: 1, Sequence: 8, ClusterOrder: 6}, AgentState{Node: "a", Epoch: 1, Sequence: 7, ClusterOrder: 7}, true},
		{"beside a node that shares nothing, by the clock", AgentState{Node: "b", Since: 105, ClusterOrder: 1}, AgentState{Node: "a", Since: 100}, true},
	} {
		if got := c.now.Supersedes(&c.old); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
