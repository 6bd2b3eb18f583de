package attach

import (
	"os"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// startCluster starts the managers of a cluster, between which nothing is carried.
func startCluster(t *testing.T) *managersim.Fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f, err := managersim.StartFleet(managersim.FleetConfig{Dir: dir, Nodes: []string{"m", "w1", "w2"}, Keys: keysFor(3), Sync: -1, Integrity: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestTheCheckOfAClusterSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	f := startCluster(t)
	check := func(node string, role wazuhdb.ClusterRole) (all string) {
		role.Node, role.Worker = node, node != "m"
		for _, c := range CheckSockets(t.Context(), Config{Home: f.Manager(node).Home(), Cluster: role, Method: detector.Request, UpdateStatus: true}) {
			if c.Err != nil {
				t.Errorf("%s: %v", node, c.Err)
			}
			all += c.Daemon + ": " + c.Result + c.Caution + " (" + c.Hint + ")\n"
		}
		return all
	}
	for _, want := range []struct {
		node   string
		shared bool
		cut    bool
		says   string
		not    string
	}{
		{"m", true, false, "wazuh-clusterd: 3 nodes are connected: m (master), w1 (worker), w2 (worker)", "share nothing"},
		{"m", false, false, "the nodes of this cluster share nothing", ""},
		{"w1", true, false, "wazuh-clusterd: 3 nodes are connected", "looks lost"},
		{"w1", false, false, "pulse provision --cluster", ""},
		{"w1", true, true, "the master cannot be asked where agents are while this worker is cut off from the NATS server: wazuh-clusterd refuses: Error 3023", "3 nodes"},
	} {
		f.SetCut("w1", want.cut)
		got := check(want.node, wazuhdb.ClusterRole{Shared: want.shared})
		if !strings.Contains(got, want.says) || want.not != "" && strings.Contains(got, want.not) {
			t.Errorf("%+v: %s", want, got)
		}
	}
}

func TestAWorkersClusterdAnswersWhereTheMasterHasAgents(t *testing.T) {
	t.Parallel()
	f := startCluster(t)
	if err := f.Master().Exec("UPDATE agent SET node_name = 'w2', connection_status = 'active', last_keepalive = 1795889722 WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	c := clusterd.NewClient(wazuhsock.Home(f.Manager("w1").Home()), locateTimeout)
	got, err := c.ReadLocations(t.Context(), []detector.AgentID{2, 99})
	if want := (clusterd.Location{Agent: 2, Node: "w2", Status: "active", KeepAlive: 1795889722}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
}
