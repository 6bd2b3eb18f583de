package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

const (
	// duplicatePeriod is the least time between two alerts that two machines have an agent's key.
	duplicatePeriod = time.Hour
	duplicatesMax   = 10_000 // agents that are remembered
	// resumeTime is for how long after this node was stopped an agent's second connection
	// shows nothing: those that agents have given up meanwhile are accepted with the last one.
	resumeTime = 2*time.Minute + 10*time.Second
)

// duplicates remembers of which agents it is known that two machines have their key. The zero
// value is ready for use. It may be used concurrently.
type duplicates struct {
	mu    sync.Mutex
	known map[detector.AgentID]time.Time // since the last alert
	quiet time.Time                      // until then connections show nothing
}

// pause has connections show nothing for a time: this node was stopped until now.
func (d *duplicates) pause(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quiet = now.Add(resumeTime)
}

// addConnection is add of an agent with two connections to this node.
func (d *duplicates) addConnection(id detector.AgentID, now time.Time) bool {
	d.mu.Lock()
	quiet := now.Before(d.quiet)
	d.mu.Unlock()
	return !quiet && d.add(id, now)
}

// add adds an agent, and reports whether its alert is due.
func (d *duplicates) add(id detector.AgentID, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.known[id]; ok && now.Sub(at) < duplicatePeriod {
		return false
	}
	if d.known == nil {
		d.known = make(map[detector.AgentID]time.Time)
	}
	if len(d.known) >= duplicatesMax {
		d.removeOld(now)
		if len(d.known) >= duplicatesMax {
			return false
		}
	}
	d.known[id] = now
	return true
}

// restore adds agents whose alerts an earlier run has published.
func (d *duplicates) restore(known map[detector.AgentID]time.Time) {
	for id, at := range known {
		d.add(id, at)
	}
}

func (d *duplicates) removeOld(now time.Time) {
	for id, at := range d.known {
		if now.Sub(at) >= duplicatePeriod {
			delete(d.known, id)
		}
	}
}

// has reports whether two machines have had an agent's key within the last period.
func (d *duplicates) has(id detector.AgentID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.known[id]
	return ok && time.Since(at) < duplicatePeriod
}

// handleDuplicate handles that two machines have one agent's key: the node of the two with the
// lower name publishes it.
func (c *clusterPart) handleDuplicate(e ownership.Event) {
	id := detector.AgentID(e.Agent)
	if !c.duplicates.add(id, time.Now()) {
		return
	}
	a := &message.ClusterAlert{Duplicated: &event.AgentDuplicated{AgentID: id.String(), AgentName: c.newChange(id, 0, 0, 0).Name,
		Machines: []event.Machine{newMachine(e.Node, e.Addr), newMachine(e.Other, e.OtherAddr)}}}
	c.raiseAlert(a)
	if min(e.Node, e.Other) == c.node {
		c.publish(message.Record{Alert: a})
	} else {
		c.showAlert(a)
	}
}

func newMachine(node string, addr netip.Addr) event.Machine {
	m := event.Machine{Node: node, IPAddress: "any"}
	if addr.IsValid() {
		m.IPAddress = addr.Unmap().WithZone("").String()
	}
	return m
}

// reportDuplicate publishes that an agent that is connected to this node has shown a sign of
// life after another machine with its key was refused.
func (n *Node) reportDuplicate(id detector.AgentID, addr, refused netip.Addr) {
	if !n.duplicates.addConnection(id, time.Now()) {
		return
	}
	agent, _ := n.detector.Agent(id)
	node := n.out.source().Node
	n.publishRecord(message.Record{Alert: &message.ClusterAlert{Duplicated: &event.AgentDuplicated{AgentID: id.String(), AgentName: cmp.Or(agent.Name, n.link.Identify(id).Name, "unknown"),
		Machines: []event.Machine{newMachine(node, addr), newMachine(node, refused)}}}})
}

// restoreDuplicates restores which alerts of the last period were published.
func (n *Node) restoreDuplicates(ctx context.Context) error {
	if !n.out.natsEnabled() {
		return nil
	}
	known, err := n.out.reader().ReadDuplicated(ctx, time.Now().Add(-duplicatePeriod))
	if err == nil {
		n.duplicates.restore(known)
	}
	return err
}

// showRecord shows an alert on this node's dashboard, where it is not shown yet.
func (n *Node) showRecord(r *message.Record) {
	if e, ok := r.Alert.HistoryEvent(); ok && !r.Alert.Shown {
		n.history.AddEvents(e)
	}
}

// publishRecord publishes what is no decision of the detector.
func (n *Node) publishRecord(r message.Record) {
	if r.Alert != nil {
		r.Alert.Complete(n.out.source().Node, time.Now())
		n.showRecord(&r)
		n.metrics.CountClusterAlert(r.Alert.Lost != nil, r.Alert.Duplicated != nil)
	} else {
		n.recordDecisions([]detector.Decision{r.Decision})
	}
	n.out.backlog.put(r)
}
