package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/relay"
)

// chaosPace is quick, and slow enough for a busy machine: a node is lost after some 3 s.
var chaosPace = clusterPace{grace: 1500 * time.Millisecond, beat: 400 * time.Millisecond}

const chaosTimeout = 5 * time.Second // of an agent

// chaosWorld is real nodes at real NATS servers, agents behind a load balancer, and what is
// true of them.
type chaosWorld struct {
	t        *testing.T
	r        *rand.Rand
	servers  []*serverChild
	js       jetstream.JetStream
	nodes    []*chaosNode
	balancer *relay.Balancer
	fleet    *agentsim.Fleet
	ids      []string
	dead     map[string]bool // agents that do not live
	died     map[string]bool // agents that have not lived all the time
	history  *chaosHistory
}

// chaosNode is a node that can be killed, with paths to the servers that can be cut.
type chaosNode struct {
	name  string
	cfg   *config.Config
	paths []*relay.Path
	ahead time.Duration // its clock
	*testNode
	down     bool
	absences int // how often it has been down, or cut off
	cut      bool
}

func newChaosWorld(t *testing.T, r *rand.Rand, servers, nodes, agents int) *chaosWorld {
	t.Helper()
	w := &chaosWorld{t: t, r: r, dead: map[string]bool{}, died: map[string]bool{}}
	w.servers, w.js = startServers(t, servers)
	w.history = newChaosHistory(w)
	var keys strings.Builder
	for i := range agents {
		id := fmt.Sprintf("%03d", i+1)
		w.ids = append(w.ids, id)
		fmt.Fprintf(&keys, "%s host-%s any 1111111111111111\n", id, id)
	}
	var list []relay.Node
	for i := range nodes {
		n := w.addNode(fmt.Sprintf("node%02d", i+1), keys.String())
		list = append(list, relay.Node{Name: n.name, Addr: n.node.AgentAddr().String()})
	}
	var err error
	if w.balancer, err = relay.StartBalancer(list...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.balancer.Close)
	for _, id := range w.ids {
		w.balancer.SetRoute(id, w.pickNode().name)
	}
	w.startAgents(keys.String())
	return w
}

func (w *chaosWorld) addNode(name, keys string) *chaosNode {
	w.t.Helper()
	n := &chaosNode{name: name, cfg: testSettings(w.t), ahead: time.Duration(w.r.Int64N(int64(20*time.Minute))) - 10*time.Minute}
	var urls []string
	for _, s := range w.servers {
		p, err := relay.OpenPath(fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(p.Close)
		n.paths = append(n.paths, p)
		urls = append(urls, "nats://"+p.Addr())
	}
	cfg := n.cfg
	writeKeys(w.t, cfg, keys)
	cfg.Pulse.NodeName, cfg.Pulse.HTTP, cfg.Cluster.Enabled = name, "", true
	cfg.Pulse.StateDir = filepath.Join(cfg.Pulse.Home, "state")
	cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = strings.Join(urls, ","), 50*time.Millisecond
	cfg.KeepAlive = config.KeepAlive{Enabled: true, Interval: time.Second, Timeout: chaosTimeout, MaxMissed: 8,
		RetryInterval: 500 * time.Millisecond, SuspectTimeout: 500 * time.Millisecond, Method: "request",
		OutageShare: 30, OutageHold: time.Second, FlapThreshold: 100, FlapWindow: time.Second}
	w.nodes = append(w.nodes, n)
	w.runNode(n)
	return n
}

// runNode starts a node with what is on its disk.
func (w *chaosWorld) runNode(n *chaosNode) {
	w.t.Helper()
	h := &testNode{t: w.t, log: new(logbook), ended: make(chan error, 1)}
	var err error
	h.node, err = open(w.t.Context(), n.cfg, "1.2.3", world{clock: detector.NewWrongClock(n.ahead), pace: chaosPace}, slog.New(h.log))
	if err != nil {
		w.t.Fatal(err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.startNode()
	n.testNode = h
}

func (w *chaosWorld) startAgents(text string) {
	w.t.Helper()
	set, _, err := clientkeys.Parse(strings.NewReader(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet, err = agentsim.New(agentsim.Config{Manager: w.balancer.Addr(), Keys: set.Keys(), Notify: 300 * time.Millisecond, Retry: 100 * time.Millisecond})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.fleet.Run(ctx) })
	w.t.Cleanup(func() { cancel(); running.Wait() })
}

// pickNode returns a node that is not down.
func (w *chaosWorld) pickNode() *chaosNode {
	for {
		if n := w.nodes[w.r.IntN(len(w.nodes))]; !n.down {
			return n
		}
	}
}

func (w *chaosWorld) pickAgent() string { return w.ids[w.r.IntN(len(w.ids))] }

// moveAgent has an agent connect to another node. At times the node before does not see the
// end of its connection.
func (w *chaosWorld) moveAgent(id string) {
	w.balancer.SetRoute(id, w.pickNode().name)
	if w.r.IntN(4) == 0 {
		w.balancer.HangAgent(id)
	} else {
		w.balancer.CutAgent(id)
	}
}

// drainNode moves all agents of a node at once.
func (w *chaosWorld) drainNode(n *chaosNode) {
	for id, at := range w.balancer.Agents() {
		if at == n.name {
			w.balancer.SetRoute(id, w.pickNode().name)
		}
	}
	w.balancer.CutNode(n.name)
}

// toggleAgent has an agent die in some way, or live again.
func (w *chaosWorld) toggleAgent(id string) {
	if w.dead[id] {
		delete(w.dead, id)
		_ = w.fleet.Revive(id)
		return
	}
	w.dead[id], w.died[id] = true, true
	_ = w.fleet.Fail(id, []agentsim.Failure{agentsim.Kill, agentsim.Kill, agentsim.Shutdown, agentsim.Hang, agentsim.Cut}[w.r.IntN(5)])
}

// setCut cuts a node off from the servers, in a way that it sees or not, or undoes that.
func (w *chaosWorld) setCut(n *chaosNode, cut bool) {
	if n.cut == cut {
		return
	}
	n.cut = cut
	if cut {
		n.absences++
	}
	silently := w.r.IntN(3) == 0
	for _, p := range n.paths {
		if cut && silently {
			p.SetFrozen(true)
			continue
		}
		p.SetFrozen(false)
		if err := p.SetCut(cut); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *chaosWorld) setDelay(n *chaosNode, d time.Duration) {
	for _, p := range n.paths {
		p.SetDelay(d)
	}
}

// killNode ends a node; nobody sees more of it than of a process that is killed. Its agents
// go to other nodes, or die with it.
func (w *chaosWorld) killNode(n *chaosNode) {
	w.setCut(n, true)
	n.down = true
	w.balancer.SetDown(n.name, true)
	for id, at := range w.balancer.Agents() {
		switch {
		case at != n.name:
		case w.r.IntN(4) == 0 && !w.dead[id]:
			w.toggleAgent(id)
		default:
			w.balancer.SetRoute(id, w.pickNode().name)
		}
	}
	w.balancer.CutNode(n.name)
	if err := n.stop(); err != nil {
		w.t.Errorf("%s: %v", n.name, err)
	}
}

// crashPulse ends a node and starts it at once, on the same host.
func (w *chaosWorld) crashPulse(n *chaosNode) {
	w.setCut(n, true)
	w.balancer.SetDown(n.name, true)
	w.balancer.CutNode(n.name)
	if err := n.stop(); err != nil {
		w.t.Errorf("%s: %v", n.name, err)
	}
	w.startAgain(n)
}

func (w *chaosWorld) startAgain(n *chaosNode) {
	w.t.Helper()
	w.setCut(n, false)
	w.runNode(n)
	n.down = false
	w.balancer.SetAddr(n.name, n.node.AgentAddr().String())
	w.balancer.SetDown(n.name, false)
}

// restartServer kills a NATS server and starts it again after a while.
func (w *chaosWorld) restartServer(i int, away time.Duration) {
	w.servers[i].kill()
	<-time.After(away)
	w.servers[i].start(w.t)
}

// healAll undoes everything, but the deaths of agents.
func (w *chaosWorld) healAll() {
	for _, n := range w.nodes {
		w.setDelay(n, 0)
		if n.down {
			w.startAgain(n)
		}
		w.setCut(n, false)
	}
	for _, id := range w.ids { // a node that was down has a route again
		if at := w.balancer.Agents()[id]; at == "" {
			w.balancer.SetRoute(id, w.pickNode().name)
		}
	}
}
