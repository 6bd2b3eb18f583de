package daemon

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/relay"
)

// managedCluster is a Wazuh cluster with agents behind a balancer, and a Pulse beside each
// manager.
type managedCluster struct {
	t        *testing.T
	managers *managersim.Fleet
	balancer *relay.Balancer
	agents   *agentsim.Fleet
	moving   *movingFleet // for what the platform has
	nodes    map[string]*testNode
	settings map[string]*config.Config
	grace    time.Duration // within which an agent has to be on another node
}

var managedNodes = []string{"node01", "worker1", "worker2"}

// startManagedCluster starts one whose agents, those of keyFile, are all at a node.
func startManagedCluster(t *testing.T, at string, grace time.Duration) *managedCluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	set, _, err := clientkeys.Parse(strings.NewReader(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	c := &managedCluster{t: t, nodes: make(map[string]*testNode), settings: make(map[string]*config.Config), grace: grace}
	if c.managers, err = managersim.StartFleet(managersim.FleetConfig{Dir: dir, Nodes: managedNodes, Keys: set.Keys(), Sync: 300 * time.Millisecond, Integrity: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.managers.Close() })
	var addrs []relay.Node
	for _, name := range managedNodes {
		addrs = append(addrs, relay.Node{Name: name, Addr: c.managers.Manager(name).AgentAddr().String()})
	}
	if c.balancer, err = relay.StartBalancer(addrs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.balancer.Close)
	c.balancer.SetRoute("", at)
	xdr := far(t)
	c.moving = &movingFleet{t: t, stream: stored(t, xdr)}
	for _, name := range managedNodes {
		cfg := patientSettings(t)
		cfg.Pulse.NodeName, cfg.Pulse.Home, cfg.Pulse.ClientKeys = name, c.managers.Manager(name).Home(), ""
		cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = xdr.ClientURL(), 50*time.Millisecond
		c.settings[name] = cfg
		c.startNode(name)
	}
	if c.agents, err = agentsim.New(agentsim.Config{Manager: c.balancer.Addr(), Keys: set.Keys(), Notify: 400 * time.Millisecond, Retry: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.agents.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	c.awaitAt(at, 1, 2, 3)
	return c
}

func (c *managedCluster) startNode(name string) {
	c.t.Helper()
	h := openClusterNode(c.t, c.settings[name], clusterPace{grace: c.grace, beat: time.Second, loss: 500 * time.Millisecond})
	h.startNode()
	c.nodes[name] = h
}

// awaitAt waits until all nodes know that a node has agents, and watch them there alone.
func (c *managedCluster) awaitAt(at string, ids ...detector.AgentID) {
	c.t.Helper()
	for name, h := range c.nodes {
		for _, id := range ids {
			h.await(name+" knows that agent "+id.String()+" is at "+at, func() bool {
				o, _ := h.node.cluster().view().Owner(ownership.AgentID(id))
				r, ok := h.node.detector.Agent(id)
				return o.Node == at && o.Reason == ownership.Here && (ok && r.Status == detector.Active) == (name == at)
			})
		}
	}
}

// countAlerts returns how often a node's analysisd was told that an agent is disconnected.
func (c *managedCluster) countAlerts(name string) (n int) {
	for _, line := range c.managers.Manager(name).Events() {
		if strings.Contains(line, "ossec: Agent disconnected") {
			n++
		}
	}
	return n
}

// Agents move from one worker to another one, which is nothing to report, and one of them
// dies there: the master's database has that, and the master alone has raised the alert.
func TestOnlyTheMastersNodeWritesALossAndRaisesItsAlert(t *testing.T) {
	t.Parallel()
	c := startManagedCluster(t, "worker1", 5*time.Second)
	c.balancer.SetRoute("", "worker2")
	if c.balancer.CutNode("worker1") != 3 {
		t.Fatal("not all agents were there")
	}
	c.awaitAt("worker2", 1, 2, 3)
	if err := c.agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	master := c.nodes["node01"]
	master.await("the master's row is disconnected", func() bool {
		a, err := c.managers.Master().Agent(2)
		return err == nil && a.Status == "disconnected" && a.Code == 4 && a.Sync == "synced"
	})
	master.await("the alert is raised", func() bool { return c.countAlerts("node01") == 1 })
	for _, id := range []int{1, 3} {
		if a, err := c.managers.Master().Agent(id); err != nil || a.Status == "disconnected" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	for _, name := range managedNodes[1:] {
		if n := c.countAlerts(name); n > 0 {
			t.Errorf("%s: %d alerts", name, n)
		}
		if a, err := c.managers.Manager(name).Agent(2); err != nil || a.Status == "disconnected" {
			t.Errorf("%s has written into its own database: %+v, %v", name, a, err)
		}
	}
	losses := map[string]int{}
	c.moving.readMessages("wazuh.xdr.agent.*.status_change", func(m *event.StatusChangeMessage) {
		if s := &m.StatusChange; s.CurrentStatus == event.Disconnected {
			losses[s.AgentID+" by "+m.Security.Node]++
		}
	})
	if len(losses) != 1 || losses["002 by worker2"] != 1 {
		t.Errorf("losses: %v", losses)
	}
}

// An agent comes from a worker to the master, which is not shown by its row in time.
func TestAnAgentThatMovesToTheMasterIsNotLost(t *testing.T) {
	t.Parallel()
	c := startManagedCluster(t, "worker1", patientGrace)
	for _, at := range []string{"node01", "worker2", "node01"} {
		c.balancer.SetRoute("", at)
		for _, from := range managedNodes {
			if from != at {
				c.balancer.CutNode(from)
			}
		}
		c.awaitAt(at, 1, 2, 3)
	}
	c.moving.readMessages("wazuh.xdr.agent.*.status_change", func(m *event.StatusChangeMessage) {
		if s := &m.StatusChange; s.CurrentStatus == event.Disconnected {
			t.Errorf("%s by %s: %+v", s.AgentID, m.Security.Node, s)
		}
	})
	if n := c.countAlerts("node01"); n > 0 {
		t.Errorf("%d alerts", n)
	}
}

// The Pulse of a worker ends, and its manager goes on: the alert says so, and its agents are
// not lost with it. The master's Pulse watches them until that of the worker is back.
func TestAgentsOfAWorkerWhoseManagerGoesOnAreNotLostWithItsPulse(t *testing.T) {
	t.Parallel()
	c := startManagedCluster(t, "worker1", patientGrace)
	if err := c.nodes["worker1"].stop(); err != nil {
		t.Fatal(err)
	}
	delete(c.nodes, "worker1")
	master := c.nodes["node01"]
	var lost *event.NodeLoss
	master.await("the loss of the node is announced", func() bool {
		c.moving.readAll("wazuh.xdr.alerts.node_lost", func(m event.Message) { lost = m.(*event.NodeLostMessage).Lost })
		return lost != nil
	})
	if lost.Node != "worker1" || lost.Manager != event.ManagerAlive {
		t.Errorf("%+v", lost)
	}
	for id := range detector.AgentID(3) {
		master.await("the master watches agent "+(id+1).String(), func() bool {
			r, ok := master.node.detector.Agent(id + 1)
			return ok && r.Status == detector.Active && master.node.link.(*attachLink).CoarseNode(id+1) == "worker1"
		})
	}
	c.startNode("worker1")
	c.awaitAt("worker1", 1, 2, 3)
	c.moving.readMessages("wazuh.xdr.agent.*.status_change", func(m *event.StatusChangeMessage) {
		if s := &m.StatusChange; s.CurrentStatus == event.Disconnected || s.CurrentStatus == event.Active && m.Security.Node != "worker1" {
			t.Errorf("%s by %s: %+v", s.AgentID, m.Security.Node, s)
		}
	})
	if n := c.countAlerts("node01"); n > 0 {
		t.Errorf("%d alerts", n)
	}
}
