package daemon

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

func TestNodesOfAClusterKnowWhichOfThemHasAnAgent(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	one := startClusterNode(t, clusterSettings(t, xdr, "one", keyFile))
	two := startClusterNode(t, clusterSettings(t, xdr, "two", keyFile))
	agents := one.startAgents(keyFile)
	for id := range ownership.AgentID(3) {
		two.awaitOwner(id+1, "one")
	}
	if err := agents.Fail("002", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	two.await("the goodbye of an agent is known", func() bool {
		o, ok := two.node.cluster().view().Owner(2)
		return ok && o.Node == "one" && o.Reason == ownership.Stopped
	})
}

func TestANodeAloneHasNoSharedView(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.Cluster.Enabled = true // and no server to share anything at
	h := startTestNode(t, cfg)
	if c := h.node.cluster(); c != nil || c.view() != nil {
		t.Errorf("it has %+v", c)
	}
}

func TestInAClusterTheGraceIsLongEnoughForAnotherNodeToSeeTheAgent(t *testing.T) {
	t.Parallel()
	cfg := clusterSettings(t, far(t), "one", keyFile)
	h := openTestNode(t, cfg)
	defer h.node.close()
	for grace, want := range map[time.Duration]time.Duration{0: realPace.grace, 7 * time.Second: 7 * time.Second} {
		cfg.KeepAlive.ReconnectGrace = grace
		if set, err := h.node.detection(cfg); err != nil || set.ReconnectGrace != want {
			t.Errorf("grace of %v is %v, %v", grace, set.ReconnectGrace, err)
		}
	}
}
