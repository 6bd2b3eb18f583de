package daemon

import (
	"cmp"
	"slices"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// handleClaim reports to the detector that another node has an agent now, or that this one
// has it again. While the view is being read, a later claim may be still to come.
func (c *clusterPart) handleClaim(e ownership.Event) {
	switch {
	case !c.shared.IsLoaded():
	case e.Node != c.node:
		c.reportIfElsewhere(e.Agent)
	case e.Other != "":
		c.detector.Report(detector.Sighting{At: c.clock.Now(), ID: detector.AgentID(e.Agent), Kind: detector.SawElsewhere})
	}
}

// handleLoaded reports to the detector which agents other nodes have, once all is read.
func (c *clusterPart) handleLoaded() {
	c.reportAgentsOf(func(node string) bool { return node != c.node })
}

// reportOvertaken reports to the detector that another node has had an agent since the run
// before this one.
func (c *clusterPart) reportOvertaken(id ownership.AgentID) {
	if o, ok := c.shared.LaterClaim(id); ok {
		c.reportElsewhere(detector.AgentID(id), &o, c.clock.Now())
	}
}

// handleClaimsAgain reports the same of a node that was lost: what it has claimed is valid again.
func (c *clusterPart) handleClaimsAgain(e ownership.Event) {
	if c.shared.IsLoaded() {
		c.reportAgentsOf(func(node string) bool { return node == e.Node })
	}
}

// reportAgentsOf reports to the detector which agents nodes have.
func (c *clusterPart) reportAgentsOf(which func(node string) bool) {
	for n, more := 0, true; more; n++ {
		var page []ownership.Located
		page, more = c.shared.PageClaims(nil, n)
		for i := range page {
			if page[i].Reason == ownership.Here && which(page[i].Node) {
				c.reportIfElsewhere(page[i].Agent)
			}
		}
	}
}

// reportIfElsewhere reports to the detector that another node has an agent, if it came there
// after its last sign of life here.
func (c *clusterPart) reportIfElsewhere(id ownership.AgentID) {
	if o, ok := c.shared.Elsewhere(id); ok {
		c.departures.compareClaim(id, &o, c.node)
		c.withdrawReadLoss(id, &o)
		c.reportElsewhere(detector.AgentID(id), &o, c.clock.Now())
	}
}

// reportElsewhere reports to the detector that another node has an agent, or had it last.
func (c *clusterPart) reportElsewhere(id detector.AgentID, o *ownership.Owner, at detector.Instant) {
	number := c.numberOf(cmp.Or(o.With, o.Node))
	if number == 0 {
		return
	}
	kind := detector.SawElsewhere
	if o.Reason != ownership.Here {
		kind = detector.LostElsewhere
	}
	c.detector.Report(detector.Sighting{At: at, ID: id, Kind: kind, Token: uint32(number)})
}

// numberOf returns the number of another node for the detector; 0 if there are too many.
func (c *clusterPart) numberOf(node string) detector.NodeNumber {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.numbers[node]
	if !ok && len(c.names) < ownership.NodesMax {
		c.names = append(c.names, node)
		n = detector.NodeNumber(len(c.names))
		c.numbers[node] = n
	}
	return n
}

// nameOf returns the name of a node by its number; "" for 0.
func (c *clusterPart) nameOf(n detector.NodeNumber) string {
	if n == 0 {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names[n-1]
}

// proveAgent asks an agent for a sign of life that this node and another one claim.
func (c *clusterPart) proveAgent(e ownership.Event) {
	if c.shared.IsLoaded() {
		c.reportIfElsewhere(e.Agent)
	}
	c.detector.HastenKeepAlive(detector.AgentID(e.Agent))
}

// handleMovedAway records that an agent has moved to another node, which may have lost it
// since. If it was lost here, that may be published after the other node's message that it is
// active: then another one follows it.
func (n *Node) handleMovedAway(d *detector.Decision) {
	c, id := n.clustered, ownership.AgentID(d.ID)
	o, ok := c.shared.LaterClaim(id)
	if !ok && c.shared.IsHere(id) { // it has come from there just now
		return
	}
	c.releaseFromLink(d)
	if ok {
		c.dropAlert(d.ID)
	}
	moved := *d
	correct := func(status detector.Status) func(string, uint64) {
		return func(node string, order uint64) {
			n.publishCorrection(moved, status, &message.Move{To: node, Order: order})
		}
	}
	if d.From != detector.Disconnected {
		c.departures.remove(d.ID)
		switch unsent := c.departures.isUnsent(d.ID); {
		case d.From == detector.NeverConnected:
		case ok && d.From == detector.Pending && (unsent || !c.hasReadClaim(id, &o)):
			c.departures.correctPending(d.ID, correct(detector.Active), correct(detector.Disconnected))
		default:
			c.departures.correctActive(d.ID, o.Reason == ownership.Here && !unsent, correct(detector.Disconnected), func() {
				if _, member := n.detector.Agent(moved.ID); member { // else it was removed
					correct(detector.Disconnected)(c.nameOf(moved.Node), 1)
				}
			})
		}
		c.shared.Depart(id, ownership.Moved, uint32(d.Time.Unix()))
		return
	}
	if ok && c.departures.mayArriveLate(d.ID, &o, c.node) {
		c.departures.correct(d.ID, correct(detector.Active), correct(detector.Disconnected))
	}
	c.withdrawLoss(id)
}

// hasReadClaim reports whether the node of a claim had read this one's when it saw the agent:
// this node's message that the agent has come is not later than that node's then.
func (c *clusterPart) hasReadClaim(id ownership.AgentID, o *ownership.Owner) bool {
	return slices.ContainsFunc(c.shared.Claims(id), func(own ownership.Owner) bool {
		return own.Node == c.node && own.Reason == ownership.Here && own.Order <= o.Seen
	})
}

// publishCorrection publishes that an agent that this node has published as lost is active on
// another node, or that one that it has published as active is lost there: this node's messages
// may be stored after those of the other one, which are the later ones.
func (n *Node) publishCorrection(d detector.Decision, status detector.Status, to *message.Move) {
	d.Verdict, d.To, d.Reason, d.Node = detector.Changed, status, detector.AgentMoved, 0
	r := n.out.newRecord(&d)
	r.Cluster, r.AlertHeld = to, true
	n.link.OnDecision(&r)
	n.out.backlog.put(r)
}

// withdrawLoss records that an agent that was lost here has moved to the node that has it. As
// long as that node has not read of the loss, it stays recorded: with the agent's next sign
// of life, the node publishes that the agent is back. A record that the agent is lost with that
// node is withdrawn by [ownership.Member.ApplyRecord].
func (c *clusterPart) withdrawLoss(id ownership.AgentID) {
	o, ok := c.shared.Elsewhere(id)
	if !ok {
		return
	}
	for _, own := range c.shared.Claims(id) {
		if own.Node == c.node && own.Reason != ownership.Here && (own.Order > o.Seen || own.With == o.Node) {
			return
		}
	}
	c.shared.Depart(id, ownership.Moved, uint32(c.clock.Time(c.clock.Now()).Unix()))
}

// withdrawReadLoss does the same when the node that has the agent has claimed it again.
func (c *clusterPart) withdrawReadLoss(id ownership.AgentID, o *ownership.Owner) {
	for _, own := range c.shared.Claims(id) {
		if own.Node == c.node && own.Reason != ownership.Here && own.Order <= o.Seen && own.With != o.Node {
			c.shared.Depart(id, ownership.Moved, uint32(c.clock.Time(c.clock.Now()).Unix()))
		}
	}
}
