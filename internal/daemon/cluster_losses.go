package daemon

import (
	"cmp"
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// declareMax is how many agents are lost with their node at a time.
const declareMax = 1000

// loseAgentsOfNodes has the agents of lost nodes lost, if this node answers for that: those
// that have not appeared on another one within the longest timeout. Not those of a node whose
// manager works. While this node does not know what the others store, it does nothing.
func (c *clusterPart) loseAgentsOfNodes(ctx context.Context) {
	if len(c.nodes.lost) == 0 || !c.isCurrent() {
		return
	}
	for _, n := range c.shared.Nodes() {
		lost := c.nodes.lost[n.Name]
		switch {
		case lost == nil:
		case !n.Lost:
			delete(c.nodes.lost, n.Name)
		case c.readManagerState(n.Name) == event.ManagerAlive:
			lost.silent = time.Time{}
		case lost.silent.IsZero():
			lost.silent = time.Now()
		case time.Since(lost.silent) >= cmp.Or(c.pace.loss, c.timeout):
			c.loseAgentsOf(ctx, &n, lost)
		}
	}
}

// isCurrent reports whether this node has read what was stored up to a moment ago.
func (c *clusterPart) isCurrent() bool {
	s := c.shared.Status()
	return s.Loaded && !s.CutOff && time.Since(s.Since) < 3*c.beatPeriod()/2
}

// loseAgentsOf loses the agents of a node, some at a time, if this node answers for them. A
// node is done with when it has none left.
func (c *clusterPart) loseAgentsOf(ctx context.Context, n *ownership.Node, lost *lostNode) {
	left := false
	for page, more := 0, true; more && ctx.Err() == nil; page++ {
		var list []ownership.Located
		list, more = c.shared.PageClaims(nil, page)
		var batch []ownership.Located
		for i := range list {
			if list[i].Node != n.Name || list[i].Reason != ownership.Here || !c.isLostWith(list[i].Agent, n.Name) {
				continue
			}
			left = true // if only until what was recorded of it is read
			if _, told := lost.told[list[i].Agent]; !told {
				batch = append(batch, list[i])
			}
		}
		if n.Author != c.node {
			continue
		}
		for len(batch) > 0 && ctx.Err() == nil {
			part := batch[:min(declareMax, len(batch))]
			batch = batch[len(part):]
			c.loseAgents(ctx, part, lost)
		}
	}
	if !left {
		delete(c.nodes.lost, n.Name)
	}
}

// isLostWith reports whether an agent was on a node that is lost, and nothing is known of it since.
func (c *clusterPart) isLostWith(id ownership.AgentID, node string) bool {
	o, ok := c.shared.Owner(id)
	return ok && o.Lost && o.Reason == ownership.Here && o.Node == node
}

// loseAgents publishes that agents are lost with their node, and records it for the others.
// The record comes last: by it, the node that has one of them after all knows that there is a
// message to take back.
func (c *clusterPart) loseAgents(ctx context.Context, list []ownership.Located, lost *lostNode) {
	records := make([]message.Record, len(list))
	for i := range list {
		r := c.newChange(detector.AgentID(list[i].Agent), detector.Active, detector.Disconnected, detector.NodeLost)
		r.Seen, r.LastSeenTime, r.Cluster.From = true, lost.since, list[i].Node
		if list[i].Addr.IsValid() {
			r.IP = list[i].Addr.String()
		}
		records[i] = r
		lost.told[list[i].Agent] = struct{}{}
	}
	if c.publishAndWait(ctx, records...) != nil {
		return // the next start goes on: see completeDeclarations
	}
	for i := range list {
		c.recordLoss(list[i].Agent, list[i].Node, records[i].Time)
	}
}

// recordLoss records that an agent is lost with its node, which was published, or takes that
// back if another node has it by now.
func (c *clusterPart) recordLoss(id ownership.AgentID, node string, at time.Time) {
	if o, ok := c.shared.Owner(id); ok && o.Reason == ownership.Here && !o.Lost && o.Node != node {
		c.publishMove(detector.AgentID(id), node, o.Node, o.Order)
		return
	}
	c.shared.DeclareLost(id, node, uint32(at.Unix()))
	if w := c.findLossWriter(); w != nil { // of losses that other nodes record, it hears by the record
		w.WriteLoss(detector.AgentID(id), at, at)
	}
}

// completeDeclarations records what the run before this one has published of agents that are
// lost with their nodes, and had no time to record.
func (c *clusterPart) completeDeclarations() {
	if !c.isCurrent() {
		return
	}
	c.nodes.mu.Lock()
	list := c.nodes.declared
	c.nodes.declared = nil
	c.nodes.mu.Unlock()
	for _, a := range list {
		recorded := false
		for _, o := range c.shared.Claims(ownership.AgentID(a.ID)) {
			recorded = recorded || o.Node == c.node
		}
		if !recorded {
			c.recordLoss(ownership.AgentID(a.ID), a.Node, a.Time)
		}
	}
}

// publishMove publishes that an agent that was on a lost node, and is published as lost with it,
// is on another one, by a claim with an order: what that one states from now on is later.
func (c *clusterPart) publishMove(id detector.AgentID, from, to string, order uint64) {
	r := c.newChange(id, detector.Disconnected, detector.Active, detector.AgentMoved)
	r.Cluster.From, r.Cluster.To, r.Cluster.Order = from, to, c.shared.DatedOrder(max(order, 2)-1)
	c.publish(r)
}

// newChange returns the record of a change that this node's detector has not decided.
func (c *clusterPart) newChange(id detector.AgentID, from, to detector.Status, why detector.Reason) message.Record {
	now := c.clock.Now()
	d := detector.Decision{Verdict: detector.Changed, From: from, To: to, Reason: why, At: now, Time: c.clock.Time(now), ID: id}
	if agent, ok := c.detector.Agent(id); ok {
		d.Name, d.IP, d.Info = agent.Name, agent.IP, detector.ReadInfo(agent.Info)
		if d.Seen = agent.Seen && to != detector.Disconnected; d.Seen {
			d.LastSeen, d.LastSeenTime = agent.LastSeen, c.clock.Time(agent.LastSeen)
		}
	}
	known := c.link.Identify(id)
	d.Name, d.IP = cmp.Or(d.Name, known.Name, "unknown"), cmp.Or(d.IP, known.IP, "any")
	return message.Record{Decision: d, Group: &c.group, Cluster: &message.Move{Order: c.shared.StatementOrder(ownership.AgentID(id), false)}}
}
