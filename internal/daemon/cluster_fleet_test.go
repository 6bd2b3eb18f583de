package daemon

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Each node has one of the agents, and shows both; one of the nodes is lost then.
func TestEveryNodeShowsTheFleetOfTheCluster(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(keyFile, "\n")
	xdr := far(t)
	one := openClusterNode(t, clusterSettings(t, xdr, "one", keyFile), quickPace)
	one.startNode()
	two := openClusterNode(t, clusterSettings(t, xdr, "two", keyFile), quickPace)
	two.startNode()
	agents := one.startAgents(lines[0])
	two.startAgents(lines[1])
	for _, h := range []*testNode{one, two} {
		h.awaitAnswer("/api/v1/agents?node=one&status=active", http.StatusOK, `"total":1,"agents":[{"id":"001","name":"web"`)
		h.awaitAnswer("/api/v1/agents?node=two&status=active", http.StatusOK, `"total":1,"agents":[{"id":"002","name":"db"`)
		h.awaitAnswer("/api/v1/agents?status=never_connected", http.StatusOK, `"total":1,"agents":[{"id":"003"`)
		h.await("the counts are those of both nodes", func() bool {
			n := h.node.fleet.Counts().ByStatus
			return n[detector.Active] == 2 && n[detector.NeverConnected] == 1
		})
		h.awaitAnswer("/api/v1/nodes", http.StatusOK, `"cluster":true,"nodes":[{"name":"one"`)
		h.awaitAnswer("/api/v1/nodes", http.StatusOK, `"name":"two"`)
		h.awaitAnswer("/api/v1/status", http.StatusOK, `"cluster": {`)
		h.awaitAnswer("/metrics", http.StatusOK, `pulse_cluster_nodes{state="up"} 2`)
		h.awaitAnswer("/metrics", http.StatusOK, "pulse_cluster_claims 2\n")
	}
	ask := newAsker(t, xdr.ClientURL())
	ask.wants("pulse.two.agents.list", `{"node":"one"}`, "total", "1")
	ask.wants("pulse.two.agents.list", `{"node":"t*"}`, "total", "2") // with 003, which was never there
	ask.wants("pulse.two.nodes", "", "cluster", "true")
	if got, code := ask.ask("pulse.two.agents.ping", `{"id":"001"}`); !strings.HasPrefix(code, "409 agent 001 is active on node one") {
		t.Errorf("%v %s", got, code)
	}
	if err := agents.Fail("001", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	two.awaitAnswer("/api/v1/agents/001", http.StatusOK, `"reason":"agent_shutdown"`)
	two.awaitAnswer("/api/v1/changes", http.StatusOK, `"node":"one","from":"active","to":"disconnected","reason":"agent_shutdown"`)
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	two.awaitAnswer("/metrics", http.StatusOK, `pulse_cluster_nodes{state="lost"} 1`)
	two.awaitAnswer("/api/v1/nodes", http.StatusOK, `"state":"lost"`)
	two.awaitAnswer("/api/v1/status", http.StatusOK, `"nodes_lost": [
      "one"`)
}

func TestANodeAloneShowsNoCluster(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	h.awaitAnswer("/api/v1/nodes", http.StatusOK, `"cluster":false,"nodes":[{"name":"node01","self":true,"role":"listener"`)
	h.awaitAnswer("/api/v1/agents", http.StatusOK, `"total":3`)
	for _, path := range []string{"/api/v1/agents", "/api/v1/status", "/metrics"} {
		if _, text := h.get(path); strings.Contains(text, `"node":"node01","missed"`) || strings.Contains(text, `"cluster"`) || strings.Contains(text, "pulse_cluster_") {
			t.Errorf("%s: %s", path, text)
		}
	}
	if h.node.fleet != shownFleet(h.node.detector) {
		t.Error("the fleet is not the detector itself")
	}
}
