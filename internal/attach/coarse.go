package attach

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// Where the Pulse of a worker is gone and its manager works, the master's rows show that: the
// worker sends its agents' keep-alives every 10 s or so. Then the master's Pulse watches these
// agents by their rows, as if they could not be asked, until that Pulse is back. It takes
// over their status without a word, and does not claim them: they have not moved.

const (
	// managerSilence is for how long the rows of a node may stand still whose manager works:
	// two rounds, one of which is refused, and what a reading takes.
	managerSilence = 22 * time.Second
	// coarseStep and coarseTimeout are how often such a row moves, and the silence after
	// which its agent is given up.
	coarseStep, coarseTimeout = 10 * time.Second, time.Minute
	// activityMemory is for how long it is not asked again whether a manager works.
	activityMemory = 3 * time.Second
	// activityTimeout is how long the answer may take.
	activityTimeout = 3 * time.Second
)

// coarseNodes is what is known of the managers of nodes whose Pulse is gone. It may be used
// concurrently.
type coarseNodes struct {
	mu    sync.Mutex
	nodes map[string]managerState
}

type managerState struct {
	at           time.Time // of the answer
	alive, known bool
}

func (c *coarseNodes) find(node string) (s managerState, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.nodes[node]
	return s, ok && time.Since(s.at) < activityMemory
}

func (c *coarseNodes) set(node string, s managerState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil {
		c.nodes = make(map[string]managerState)
	}
	c.nodes[node] = s
}

func (c *coarseNodes) remove(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, node)
}

// listAlive returns the nodes whose manager worked when that was asked last.
func (c *coarseNodes) listAlive() (nodes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for node, s := range c.nodes {
		if s.alive {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// IsManagerAlive reports whether the manager of another node works whose Pulse is gone, as far
// as the master's rows show that. On the master, its agents are watched by their rows then.
// It may wait for some seconds for the answer, and is to be called from time to time while
// that Pulse is gone.
func (l *Link) IsManagerAlive(node string) (alive, known bool) {
	if l.cfg.Shared == nil {
		return false, false
	}
	if s, isNew := l.coarse.find(node); isNew {
		return s.alive, s.known
	}
	ctx, cancel := context.WithTimeout(context.Background(), activityTimeout)
	defer cancel()
	agents, silence, err := l.readNodeActivity(ctx, node)
	s := managerState{at: time.Now(), known: err == nil && agents > 0}
	s.alive = s.known && silence <= managerSilence
	l.coarse.set(node, s)
	if s.alive && l.cfg.Cluster.IsMaster() {
		l.reader.wake.Send()
	}
	return s.alive, s.known
}

// IsCoarse reports whether the agents of another node are seen through the master's rows only.
// It does not wait.
func (l *Link) IsCoarse(node string) bool { return slices.Contains(l.coarse.listAlive(), node) }

// CoarseNode returns the node of an agent that this one watches by the master's rows only; ""
// for any other agent. It does not wait.
func (l *Link) CoarseNode(id detector.AgentID) string { return l.tracker.index.coarseNode(id) }

// activityReader is the part of a clusterd.Client by which a worker asks for another node.
type activityReader interface {
	ReadNodeActivity(ctx context.Context, node string) (clusterd.NodeActivity, error)
}

func (l *Link) readNodeActivity(ctx context.Context, node string) (agents int, silence time.Duration, err error) {
	if l.cfg.Cluster.IsMaster() {
		a, err := l.db.ReadNodeActivity(ctx, node)
		return a.Agents, l.cfg.wall.ageOfSecond(a.KeepAlive), err
	}
	a, err := l.clusterd.ReadNodeActivity(ctx, node)
	return a.Agents, a.Silence, err
}

// updateCoarseNodes ends the watching of agents whose node has a Pulse again, or has no manager
// that works any more: then they are lost with their node, if they are. It returns the
// nodes whose agents are to be read and watched from now on.
func (t *tracker) updateCoarseNodes() (begin []string) {
	if !t.owners.role.IsMaster() || t.owners.shared == nil {
		return nil
	}
	working := t.nodes.listAlive()
	for node := range t.owners.coarse {
		if t.owners.shared.IsNodeAlive(node) || !slices.Contains(working, node) {
			t.endCoarseNode(node)
		}
	}
	for _, node := range working {
		switch {
		case t.owners.shared.IsNodeAlive(node):
			t.nodes.remove(node)
		case !t.owners.coarse[node]:
			begin = append(begin, node)
		}
	}
	return begin
}

func (t *tracker) endCoarseNode(node string) {
	delete(t.owners.coarse, node)
	hasPulse, n := t.owners.shared.IsNodeAlive(node), 0
	for id, a := range t.known {
		if a.coarse == node {
			n++
			t.fleet.ReleaseMember(id)
			t.owners.releaseAgent(id)
		}
	}
	t.dropReleased()
	t.log.Info("a node's agents are not watched by the master's rows any more", "node", node, "agents", n, "has_pulse", hasPulse)
}

// applyNodeAgents takes over the agents of a node whose Pulse is gone, as the rows have them.
func (t *tracker) applyNodeAgents(e nodeAgentsRead) {
	if len(t.owners.coarse) == 0 && !t.passive.wazuh5 {
		t.fleet.SetPassivePace(coarseStep, coarseTimeout)
	}
	t.owners.coarse[e.node] = true
	n := 0
	for i := range e.rows {
		r := &e.rows[i]
		id := r.AgentID()
		if !r.IsConnected() || t.wall.ageOfSecond(r.KeepAlive) >= coarseTimeout || t.owners.isElsewhere(id) || t.isWatched(id) {
			continue
		}
		n++
		t.fleet.ReleaseMember(id) // that never connected, as far as is known here
		t.known[id] = &agent{name: r.Name, registered: r.Registered, keepAlive: r.KeepAlive, status: r.Status, code: r.Code, bySight: true, coarse: e.node}
		t.recount = true
		t.index.addAgent(r)
		t.index.setCoarse(id, e.node)
		t.owners.others.forgetOther(id)
		t.fleet.AdmitMember(detector.Member{ID: id, Name: r.Name, IP: r.Registered, Active: true})
		t.setPassive(id, t.known[id], true)
		t.updateInfos(e.rows[i : i+1])
	}
	t.log.Warn("the Pulse of a node is gone and its manager works: its agents are watched by the master's rows, up to 30 s late", "node", e.node, "agents", n,
		"lost_after", coarseTimeout.String())
}

// isWatched reports whether the detector watches an agent as one of this node.
func (t *tracker) isWatched(id detector.AgentID) bool {
	if t.known[id] == nil {
		return false
	}
	now, ok := t.fleet.Agent(id)
	return ok && !now.Elsewhere && (now.Status == detector.Active || now.Status == detector.Pending)
}

// listCoarseNodes returns the nodes whose agents' rows are watched.
func (o *owners) listCoarseNodes() []string { return slices.Sorted(maps.Keys(o.coarse)) }

// readNodeAgents reads the agents of nodes that are to be watched by their rows.
func (r *dbReader) readNodeAgents(ctx context.Context) error {
	for _, node := range r.plan.adopt {
		rows, _, err := r.db.ReadNodeAgents(ctx, node)
		if err != nil {
			return err
		}
		if err := r.deliverEvent(ctx, nodeAgentsRead{node, rows}); err != nil {
			return err
		}
	}
	return nil
}

// nodeAgentsRead is from the dbReader: the agents of a node whose Pulse is gone.
type nodeAgentsRead struct {
	node string
	rows []wazuhdb.Row
}
