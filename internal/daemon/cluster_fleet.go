package daemon

import (
	"cmp"
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/metrics"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// shownFleet is the fleet as people see it: the detector's, or in a cluster that of all nodes.
type shownFleet interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error)
	Counts() detector.Counts
}

// jointFleet is the fleet of a cluster, and what is shown of what happens at other nodes.
type jointFleet struct {
	*fleet.Fleet
	node     string
	view     sharedView
	history  *history.History
	identify func(detector.AgentID) fleet.Identity
}

// openFleet opens the fleet that is shown.
func (n *Node) openFleet(set *detector.Settings) {
	n.fleet = n.detector
	shared := n.clustered.view()
	if shared == nil {
		return
	}
	all := fleet.New(fleet.Config{Table: n.detector, Claims: shared, Clock: n.clock, Identify: n.link.Identify, Duplicated: n.duplicates.has, Coarse: n.clustered.isCoarse},
		fleetSettings(set))
	n.fleet = all
	n.clustered.shown.Store(&jointFleet{all, n.clustered.node, shared, n.history, n.link.Identify})
}

func fleetSettings(set *detector.Settings) fleet.Settings {
	return fleet.Settings{GroupOf: set.GroupOf, DormantAfter: set.DormantAfter}
}

// runFleet keeps the counts of the fleet until ctx ends.
func (c *clusterPart) runFleet(ctx context.Context) {
	if f := c.shownFleet(); f != nil {
		f.Run(ctx)
	}
}

// setFleetSettings makes other settings of agents those of the fleet that is shown.
func (c *clusterPart) setFleetSettings(set *detector.Settings) {
	if f := c.shownFleet(); f != nil {
		f.SetSettings(fleetSettings(set))
	}
}

// shownFleet returns the fleet of the cluster; nil before it is opened, and outside a cluster.
func (c *clusterPart) shownFleet() *jointFleet {
	if c == nil {
		return nil
	}
	return c.shown.Load()
}

// showEvent adds what has happened at another node to what is shown. What a node reads when it
// comes to the cluster has happened before.
func (c *clusterPart) showEvent(e ownership.Event) {
	f := c.shownFleet()
	if f == nil || e.Node == f.node || !f.view.IsLoaded() {
		return
	}
	shown := history.Event{Kind: history.Change, At: time.Now(), ID: detector.AgentID(e.Agent), Node: e.Node, From: detector.Active}
	switch e.Kind {
	case ownership.Claimed:
		shown.To, shown.Reason, shown.IP = detector.Active, detector.AgentMoved, textOf(e.Addr.IsValid(), e.Addr.String())
		if e.Other == "" {
			shown.From, shown.Reason = detector.Disconnected, detector.Reconnected
		}
	case ownership.Departed:
		if e.Reason == ownership.Moved {
			return
		}
		shown.To = detector.Disconnected
		f.explainDeparture(&shown, &e)
	default:
		return
	}
	known := f.identify(shown.ID)
	shown.Name, shown.IP, shown.Info = known.Name, cmp.Or(shown.IP, known.IP), known.Info
	f.history.AddEvents(shown)
}

// explainDeparture adds why an agent has left a node, and where it was.
func (f *jointFleet) explainDeparture(shown *history.Event, e *ownership.Event) {
	if e.Reason == ownership.Removed {
		shown.Reason = detector.AgentRemoved
		return
	}
	if r, ok := f.Describe(shown.ID); ok && r.Status == detector.Disconnected {
		shown.Reason, shown.IP, shown.Node = r.Reason, r.IP, f.NodeName(r.Node)
	}
}

func textOf(known bool, text string) string {
	if known {
		return text
	}
	return ""
}

// listNodes returns the nodes of the cluster; outside one, this node alone.
func (n *Node) listNodes() view.NodeList {
	source, started := n.out.source(), view.TruncateTime(n.out.recorder.started)
	self := view.Node{Name: source.Node, Version: source.Version, Role: ownership.Alone.String(), Started: started}
	list := view.NodeList{Node: source.Node}
	if f := n.clustered.shownFleet(); f != nil {
		s := f.view.Status()
		self.Role, list.Cluster = n.clustered.role.String(), true
		list.Nodes = f.ListNodes(self, fleet.Beats{Period: cmp.Or(n.clustered.pace.beat, cluster.BeatPeriod), Last: s.Since, CutOff: s.CutOff}, time.Now())
		return list
	}
	if n.link.Status().Kind == event.LinkListen {
		self.Role = ownership.Listener.String()
	}
	counts := n.detector.Counts().ByStatus
	self.Self, self.State, self.Since, self.Agents = true, view.NodeUp, &started, counts[detector.Active]+counts[detector.Pending]
	list.Nodes = []view.Node{self}
	return list
}

// readClusterMetrics returns the figures of the shared view; nil outside a cluster.
func (n *Node) readClusterMetrics() *metrics.Cluster {
	f := n.clustered.shownFleet()
	if f == nil {
		return nil
	}
	s := f.view.Status()
	m := &metrics.Cluster{Nodes: map[string]int64{view.NodeUp: 0, view.NodeLost: 0, view.NodeCutOff: 0, view.NodeUnknown: 0}, CutOff: s.CutOff, Loaded: s.Loaded,
		BeatAge: time.Since(s.Since).Seconds(), Agents: s.Agents, Claims: s.Claims, Bytes: s.Bytes, Queued: s.Queued, Read: s.Read, Stored: s.Stored, Failed: s.Failed,
		Refused: s.Refused, Replayed: s.Replayed, Rereads: s.Rereads, FalseHints: s.FalseHints, Requests: s.Requests}
	for _, node := range n.listNodes().Nodes {
		m.Nodes[node.State]++
	}
	return m
}

// ClusterStatus is the state of the shared view.
type ClusterStatus struct {
	CutOff  bool      `json:"cut_off"`           // this node is, from the others
	Loaded  bool      `json:"loaded"`            // what the others have stored was read
	Since   time.Time `json:"since"`             // when this node's last sign of life was stored
	Problem string    `json:"problem,omitempty"` // why nothing is shared

	Agents    event.AgentCounts `json:"agents"` // of all nodes
	Nodes     int               `json:"nodes"`
	NodesLost []string          `json:"nodes_lost,omitempty"`

	Claims int `json:"claims"` // of all nodes, that are kept here
	Bytes  int `json:"bytes"`  // of memory that they take
	Queued int `json:"queued"` // claims of this node that are to be stored
}

// status returns the state of the shared view; nil outside a cluster.
func (c *clusterPart) status() *ClusterStatus {
	f := c.shownFleet()
	if f == nil {
		return nil
	}
	now := f.view.Status()
	s := &ClusterStatus{CutOff: now.CutOff, Loaded: now.Loaded, Since: view.TruncateTime(now.Since), Problem: now.Problem,
		Agents: view.CountAgents(f.Counts()), Claims: now.Claims, Bytes: now.Bytes, Queued: now.Queued}
	for _, node := range f.view.Nodes() {
		s.Nodes++
		if node.Lost {
			s.NodesLost = append(s.NodesLost, node.Name)
		}
	}
	return s
}
