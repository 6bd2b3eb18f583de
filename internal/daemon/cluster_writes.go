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

func (v linkView) IsCurrent() bool {
	s := v.part.shared.Status()
	return s.Loaded && !s.CutOff
}
