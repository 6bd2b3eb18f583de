package daemon

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// lossWriter is a link to the master of a Wazuh cluster: it writes the losses of other nodes'
// agents into the manager's database.
type lossWriter interface {
	WriteLoss(id detector.AgentID, at, seen time.Time)
	CancelLoss(id detector.AgentID)
}

// findLossWriter returns the link if this node is the master's; nil if not.
func (c *clusterPart) findLossWriter() lossWriter {
	if a, ok := c.link.(*attachLink); ok && c.role == ownership.Master {
		return a.Link
	}
	return nil
}

// handleClaimForMaster withdraws the loss that the master's node is to write of an agent
// that a node has now.
func (c *clusterPart) handleClaimForMaster(e ownership.Event) {
	if w := c.findLossWriter(); w != nil {
		w.CancelLoss(detector.AgentID(e.Agent))
	}
}

// handleDepartureForMaster has the master's node write the loss of an agent of another node.
// How long it was silent is by that node's clock, and when is by this one's.
func (c *clusterPart) handleDepartureForMaster(e ownership.Event) {
	w := c.findLossWriter()
	if w == nil || e.Node == c.node || e.Reason != ownership.Lost {
		return
	}
	now, silence := time.Now(), time.Duration(0)
	for _, claim := range c.shared.Claims(e.Agent) {
		if claim.Node == e.Node && claim.Sign > 0 && claim.Since > claim.Sign {
			silence = time.Duration(claim.Since-claim.Sign) * time.Second
		}
	}
	w.WriteLoss(detector.AgentID(e.Agent), now, now.Add(-silence))
}

// findCoarseNode returns the node of an agent that this one, the master's, watches by the rows
// of that node only; "" of any other.
func (c *clusterPart) findCoarseNode(id detector.AgentID) string {
	if a, ok := c.link.(*attachLink); ok {
		return a.CoarseNode(id)
	}
	return ""
}

// isCoarse reports whether the agents of a node are seen through the master's rows only.
func (c *clusterPart) isCoarse(node string) bool {
	a, ok := c.link.(*attachLink)
	return ok && a.IsCoarse(node)
}

// recordCoarseDecision records what the detector has decided of such an agent: it is its
// node's, which takes that back when it has a Pulse again.
func (c *clusterPart) recordCoarseDecision(d *detector.Decision, node string) (stored func()) {
	id, at := ownership.AgentID(d.ID), uint32(d.Time.Unix())
	if d.To != detector.Disconnected {
		c.shared.Depart(id, ownership.Moved, at) // what this node has recorded of it
		return nil
	}
	return func() { c.shared.DeclareLost(id, node, at) }
}

// releaseFromLink has the link to a manager give up an agent that another node has.
func (c *clusterPart) releaseFromLink(d *detector.Decision) {
	if a, ok := c.link.(*attachLink); ok {
		a.Link.OnDecision(d)
	}
}

// linkView returns the shared view as a link to a manager asks it; nil of a node alone.
func (c *clusterPart) linkView() attach.SharedView {
	if c == nil {
		return nil
	}
	return linkView{c}
}

type linkView struct{ part *clusterPart }

func (v linkView) IsElsewhere(id detector.AgentID) bool {
	_, ok := v.part.shared.Elsewhere(ownership.AgentID(id))
	return ok
}

func (v linkView) WasElsewhere(id detector.AgentID) bool {
	o, ok := v.part.shared.Owner(ownership.AgentID(id))
	return ok && o.Node != v.part.node
}

func (v linkView) IsNodeAlive(node string) bool {
	for _, n := range v.part.shared.Nodes() {
		if n.Name == node {
			return !n.Lost
		}
	}
	return false
}

func (v linkView) IsCurrent() bool {
	s := v.part.shared.Status()
	return s.Loaded && !s.CutOff
}
