package message

import (
	"context"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// ClusterAlert is an alert about a node of a cluster, or about an agent that is on several.
// One of its parts is set.
type ClusterAlert struct {
	Lost, Back *event.NodeLoss
	Duplicated *event.AgentDuplicated
	Shown      bool // on the dashboard of this node, before it publishes it
}

// Complete sets who made the alert, when, and its level.
func (a *ClusterAlert) Complete(node string, now time.Time) {
	switch {
	case a.Lost != nil:
		a.Lost.AnnouncedBy, a.Lost.Timestamp, a.Lost.AlertLevel = node, now.Unix(), alertlevel.NodeLost
	case a.Back != nil:
		a.Back.AnnouncedBy, a.Back.Timestamp, a.Back.AlertLevel = node, now.Unix(), alertlevel.NodeBack
	default:
		a.Duplicated.Timestamp, a.Duplicated.AlertLevel = now.Unix(), alertlevel.Duplicated
	}
}

// Clone returns a copy that shares nothing with the alert.
func (a *ClusterAlert) Clone() *ClusterAlert {
	var c ClusterAlert
	switch {
	case a.Lost != nil:
		kept := *a.Lost
		c.Lost = &kept
	case a.Back != nil:
		kept := *a.Back
		c.Back = &kept
	default:
		kept := *a.Duplicated
		c.Duplicated = &kept
	}
	return &c
}

// clusterAlert returns the message of an alert that is complete.
func (w *Writer) clusterAlert(a *ClusterAlert) outbox.Message {
	if a.Duplicated != nil {
		m := event.AgentDuplicatedMessage{Duplicated: *a.Duplicated, Security: w.Source.Stamp(w.prefix.AgentDuplicated(), time.Now())}
		return w.encode(outbox.Status, &m.Security, &m)
	}
	m := event.NodeLostMessage{Lost: a.Lost, Back: a.Back, Security: w.Source.Stamp(w.prefix.NodeLost(), time.Now())}
	return w.encode(outbox.Status, &m.Security, &m)
}

// HistoryEvent returns the alert as the console shows it.
func (a *ClusterAlert) HistoryEvent() (e history.Event, ok bool) {
	switch {
	case a.Lost != nil:
		return newNodeEvent(history.NodeLost, a.Lost), true
	case a.Back != nil:
		return newNodeEvent(history.NodeBack, a.Back), true
	}
	d := a.Duplicated
	e.Kind, e.At, e.Name, e.Cluster = history.Duplicated, d.Time(), d.AgentName, new(history.Cluster)
	for _, m := range d.Machines {
		e.Cluster.Machines = append(e.Cluster.Machines, history.Machine{Node: m.Node, IP: m.IPAddress})
	}
	id, err := detector.ParseID(d.AgentID)
	e.ID = id
	return e, err == nil
}

func newNodeEvent(kind history.Kind, n *event.NodeLoss) history.Event {
	return history.Event{Kind: kind, At: n.Time(), LastSeen: n.SinceTime(), Cluster: &history.Cluster{Node: n.Node, Agents: n.Agents}}
}

// decodeClusterAlert returns the event of a stored alert.
func decodeClusterAlert(m event.Message) (e history.Event, ok bool) {
	var a ClusterAlert
	switch m := m.(type) {
	case *event.NodeLostMessage:
		a.Lost, a.Back = m.Lost, m.Back
	case *event.AgentDuplicatedMessage:
		a.Duplicated = &m.Duplicated
	}
	e, ok = a.HistoryEvent()
	e.Known = m.Identity().IssuedTime()
	return e, ok
}

// LostAgent is an agent that this node has published as lost with another node.
type LostAgent struct {
	ID   detector.AgentID
	Node string // that had it
	Time time.Time
}

// lostAgentPeriod is how long ago a message may be at the start whose record the run before
// this one may have had no time to store.
const lostAgentPeriod = 10 * time.Minute

// addLostAgent adds an agent whose last message is that it is lost with another node.
func (r *Reader) addLostAgent(m *event.StatusChangeMessage) {
	c := &m.StatusChange
	if c.Reason != event.NodeLost || c.FromNode == "" || time.Since(m.Security.IssuedTime()) > lostAgentPeriod {
		return
	}
	if id, err := detector.ParseID(c.AgentID); err == nil {
		r.Lost = append(r.Lost, LostAgent{id, c.FromNode, c.Time()})
	}
}

// StatedAgent is an agent of which this node has stated where it is for the other nodes.
type StatedAgent struct {
	ID    detector.AgentID
	Lost  bool
	Since time.Time
	Order uint64 // see [Move]
}

func (r *Reader) addStatedAgent(id detector.AgentID, c *event.StatusChange) {
	if c.ClusterOrder > 0 {
		r.Stated = append(r.Stated, StatedAgent{id, c.CurrentStatus == event.Disconnected, c.Time(), c.ClusterOrder})
	}
}

// NodeAlert is an alert that a node of a cluster is lost, or back, after its beat with an order.
type NodeAlert struct {
	Node string
	Beat uint64
	Back bool
}

// ReadNodeAlerts returns which alerts of nodes this node has published since a time.
func (r *Reader) ReadNodeAlerts(ctx context.Context, since time.Time) (list []NodeAlert, err error) {
	err = r.Outbox.ReadAfter(ctx, outbox.Position{}, since, []string{r.Prefix.NodeLost()}, func(_ string, data []byte) {
		m, err := r.parse(data)
		if a, ok := m.(*event.NodeLostMessage); err == nil && ok {
			list = append(list, NewNodeAlert(a))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("restore which losses of nodes were announced: %w", err)
	}
	return list, nil
}

// NewNodeAlert returns which alert a message is.
func NewNodeAlert(m *event.NodeLostMessage) NodeAlert {
	if m.Lost != nil {
		return NodeAlert{Node: m.Lost.Node, Beat: m.Lost.Beat}
	}
	return NodeAlert{m.Back.Node, m.Back.Beat, true}
}

// ReadDuplicated returns of which agents this node has published, since a time, that two
// machines have their key, and when last.
func (r *Reader) ReadDuplicated(ctx context.Context, since time.Time) (map[detector.AgentID]time.Time, error) {
	known := make(map[detector.AgentID]time.Time)
	err := r.Outbox.ReadAfter(ctx, outbox.Position{}, since, []string{r.Prefix.AgentDuplicated()}, func(_ string, data []byte) {
		m, err := r.parse(data)
		if d, ok := m.(*event.AgentDuplicatedMessage); err == nil && ok && d.Duplicated.Time().After(since) {
			if id, err := detector.ParseID(d.Duplicated.AgentID); err == nil {
				known[id] = d.Duplicated.Time()
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("restore which agents are on several machines: %w", err)
	}
	return known, nil
}
