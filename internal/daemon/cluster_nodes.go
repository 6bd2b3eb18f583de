package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

// nodeWatch has what the nodes' records have changed about nodes, until [clusterPart.watchNodes]
// has handled it: that waits for messages to be stored, which a reader of records must not.
type nodeWatch struct {
	ready wake.Signal

	// Of the goroutine that watches.
	lost      map[string]*lostNode
	raised    map[string]uint64                // by node: after which beat its loss is an alert here
	shown     map[string]uint64                // by node: after which beat its loss is on this node's dashboard
	due       map[string]*message.ClusterAlert // by node: losses that this node is to announce
	published map[message.NodeAlert]struct{}   // by a run before this one

	mu       sync.Mutex
	events   []ownership.Event
	declared []message.LostAgent // of a run before this one: see completeDeclarations
}

// lostNode is another node that is lost, and whose agents may have to be lost too.
type lostNode struct {
	since  time.Time                      // its last sign of life
	silent time.Time                      // since when its manager is not known to work
	told   map[ownership.AgentID]struct{} // agents that this node has published as lost with it
}

func newNodeWatch() *nodeWatch {
	return &nodeWatch{ready: wake.NewSignal(), lost: make(map[string]*lostNode), raised: make(map[string]uint64), shown: make(map[string]uint64),
		due: make(map[string]*message.ClusterAlert), published: make(map[message.NodeAlert]struct{})}
}

func (w *nodeWatch) addPublished(list []message.NodeAlert) {
	for _, a := range list {
		w.published[a] = struct{}{}
	}
}

func (w *nodeWatch) isPublished(a message.NodeAlert) bool {
	_, ok := w.published[a]
	return ok
}

func (w *nodeWatch) addEvent(e ownership.Event) {
	w.mu.Lock()
	w.events = append(w.events, e)
	w.mu.Unlock()
	w.ready.Send()
}

func (w *nodeWatch) takeEvents() (list []ownership.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.events = w.events, nil
	return list
}

// managerWatcher is a link that knows whether the managers on other nodes of a Wazuh cluster work.
type managerWatcher interface {
	// IsManagerAlive reports whether the manager on a node works, as far as that is known.
	IsManagerAlive(node string) (alive, known bool)
}

// beatPeriod is the time between two signs of life of this node.
func (c *clusterPart) beatPeriod() time.Duration {
	if c.pace.beat > 0 {
		return c.pace.beat
	}
	return cluster.BeatPeriod
}

// watchNodes announces which nodes are lost and that this one is back, and has the agents
// lost of nodes that do not come back, until ctx ends.
func (c *clusterPart) watchNodes(ctx context.Context) {
	if c == nil {
		return
	}
	look := time.NewTicker(c.beatPeriod())
	defer look.Stop()
	for {
		select {
		case <-c.nodes.ready:
			for _, e := range c.nodes.takeEvents() {
				c.handleNodeEvent(ctx, &e)
			}
		case <-look.C:
			c.announceLosses(ctx)
			c.completeDeclarations()
			c.loseAgentsOfNodes(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (c *clusterPart) handleNodeEvent(ctx context.Context, e *ownership.Event) {
	switch e.Kind {
	case ownership.NodeLost:
		c.handleNodeLost(ctx, e)
	case ownership.NodeBack:
		delete(c.nodes.lost, e.Node)
		delete(c.nodes.raised, e.Node)
		delete(c.nodes.due, e.Node)
		back := &message.ClusterAlert{Back: &event.NodeLoss{Node: e.Node, Agents: c.findNode(e.Node).Agents}}
		c.raiseAlert(back)
		c.showAlert(back)
	case ownership.Returned:
		c.announceReturn(ctx, e)
	case ownership.DeclaredLost, ownership.BackUnread:
		c.detector.Restate(detector.AgentID(e.Agent))
	case ownership.Misdeclared:
		c.publishMove(detector.AgentID(e.Agent), e.Other, e.Node, e.Order)
	}
}

func (c *clusterPart) findNode(name string) ownership.Node {
	nodes := c.shared.Nodes()
	if i := slices.IndexFunc(nodes, func(n ownership.Node) bool { return n.Name == name }); i >= 0 {
		return nodes[i]
	}
	return ownership.Node{Name: name}
}

// handleNodeLost takes up that another node is lost, or that it is up to this one to announce
// that: who was to do it is lost, too.
func (c *clusterPart) handleNodeLost(ctx context.Context, e *ownership.Event) {
	since := c.shared.SeenAt(e.Node)
	a := &message.ClusterAlert{Lost: &event.NodeLoss{Node: e.Node, Since: since.Unix(), Agents: c.findNode(e.Node).Agents, Manager: c.readManagerState(e.Node), Beat: e.Beat}}
	if c.nodes.lost[e.Node] == nil {
		c.nodes.lost[e.Node] = &lostNode{since: since, silent: time.Now(), told: make(map[ownership.AgentID]struct{})}
	}
	if c.nodes.raised[e.Node] != e.Beat {
		c.nodes.raised[e.Node] = e.Beat
		c.raiseAlert(a)
		if !e.Announce {
			c.showLoss(a)
		}
	}
	if e.Announce {
		c.nodes.due[e.Node] = a
		c.announceLosses(ctx)
	}
}

// announceLosses announces the losses of nodes that are up to this one, if the platform gets its
// messages now. What it cannot announce waits: if it is cut off, another node does it, and it must
// not be on this node's disk then. It says that it has announced a loss only once the message is
// where others can read it: if it ends before, another one does it.
func (c *clusterPart) announceLosses(ctx context.Context) {
	for node, a := range c.nodes.due {
		switch {
		case c.shared.IsAnnounced(node, a.Lost.Beat):
			c.showLoss(a)
		case c.nodes.isPublished(message.NodeAlert{Node: node, Beat: a.Lost.Beat}):
			c.shared.ConfirmNodeLost(node, a.Lost.Beat)
		case !c.isCurrent() || !c.isForwarding():
			continue
		case c.publishLoss(ctx, a) != nil:
			return
		default:
			c.shared.ConfirmNodeLost(node, a.Lost.Beat)
		}
		delete(c.nodes.due, node)
	}
}

// publishLoss publishes the loss of a node. It is on this node's dashboard already if another node was to do so.
func (c *clusterPart) publishLoss(ctx context.Context, a *message.ClusterAlert) error {
	a.Shown = c.nodes.shown[a.Lost.Node] == a.Lost.Beat
	c.nodes.shown[a.Lost.Node] = a.Lost.Beat
	return c.publishAndWait(ctx, message.Record{Alert: a})
}

// announceReturn announces that this node is back. If the loss is being announced in this
// moment, that comes first.
func (c *clusterPart) announceReturn(ctx context.Context, e *ownership.Event) {
	if c.nodes.isPublished(message.NodeAlert{Node: c.node, Beat: e.Beat, Back: true}) {
		c.shared.ConfirmReturn(e.Order)
		return
	}
	for range 20 {
		if c.shared.IsAnnounced(c.node, e.Beat) || !pauseFor(ctx, c.beatPeriod()/20) {
			break
		}
	}
	back := &event.NodeLoss{Node: c.node, Agents: c.shared.Status().Agents, Beat: e.Beat}
	if since := c.shared.AwaySince(); !since.IsZero() {
		back.Since = since.Unix()
	}
	if c.publishAndWait(ctx, message.Record{Alert: &message.ClusterAlert{Back: back}}) == nil {
		c.shared.ConfirmReturn(e.Order)
	}
}

// pauseFor reports whether ctx goes on after a time.
func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// showLoss shows the loss of a node that another one publishes, unless it is shown already: the
// other one may be lost in turn, and a run of this node before may have published it.
func (c *clusterPart) showLoss(a *message.ClusterAlert) {
	node, beat := a.Lost.Node, a.Lost.Beat
	if c.nodes.shown[node] != beat && !c.nodes.isPublished(message.NodeAlert{Node: node, Beat: beat}) && c.showAlert(a) {
		c.nodes.shown[node] = beat
	}
}

// showAlert shows an alert on this node's dashboard that another one publishes. It reports whether the dashboard is
// open yet.
func (c *clusterPart) showAlert(a *message.ClusterAlert) bool {
	f := c.shownFleet()
	if f == nil || !c.shared.Status().Loaded {
		return false
	}
	a = a.Clone()
	a.Complete(c.node, time.Now())
	if e, ok := a.HistoryEvent(); ok {
		f.history.AddEvents(e)
	}
	return true
}

// raiseAlert has the manager's rules know of an alert: of all nodes, the master's does.
func (c *clusterPart) raiseAlert(a *message.ClusterAlert) {
	if c.role == ownership.Master {
		a = a.Clone()
		a.Complete(c.node, time.Now())
		c.link.OnClusterAlert(a)
	}
}

func (c *clusterPart) readManagerState(node string) event.ManagerState {
	if w, ok := c.link.(managerWatcher); ok {
		switch alive, known := w.IsManagerAlive(node); {
		case alive:
			return event.ManagerAlive
		case known:
			return event.ManagerSilent
		}
	}
	return event.ManagerUnknown
}

// forwardLimit is how long a node waits at most for the platform to have what it has announced.
const forwardLimit = 10 * time.Second

// publishAndWait publishes records, and returns when they are on this node's disk, and with
// the platform's server as far as that takes anything now.
func (c *clusterPart) publishAndWait(ctx context.Context, records ...message.Record) error {
	stored := make(chan uint64, 1)
	records[len(records)-1].Stored = func() { stored <- c.statusEnd() }
	for i := range records {
		c.publish(records[i])
	}
	select {
	case end := <-stored:
		c.awaitForwarded(ctx, end, forwardLimit)
	case <-ctx.Done():
	}
	return ctx.Err()
}
