package daemon

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// leftRetry is between two tries to read what a run before this one has left in the bucket.
const leftRetry = 10 * time.Second

// restoreLeft restores agents of which a run before this one has left in the bucket of the roster
// that they are active, if this one knows nothing of that run: its state directory is gone. Those
// that have shown themselves within a timeout are left out; the others are lost.
func (n *Node) restoreLeft(ctx context.Context) {
	if n.leftWait == 0 || n.roster == nil || n.out.remote == nil {
		return
	}
	for wait := n.leftWait; pauseFor(ctx, wait); wait = min(leftRetry, n.leftWait) {
		if n.clustered != nil && !n.clustered.isCurrent() {
			continue
		}
		if page, _ := n.detector.Page(0); len(page) == 0 { // the list of agents is not read yet
			continue
		}
		left, err := n.roster.ListLeft(ctx, n.listUnseen())
		if err != nil {
			n.log.Debug("what an earlier run has left in the bucket of agents is not read yet", "err", err)
			continue
		}
		for i := range left {
			if id, err := detector.ParseID(left[i].AgentID); err == nil {
				n.detector.RestoreMember(id, n.clock.Instant(time.Unix(max(left[i].LastSeen, left[i].Since), 0)))
			}
		}
		if len(left) > 0 {
			n.log.Warn("an earlier run of this node, of which nothing else is left, has published these agents as active: they are lost unless they show themselves", "agents", len(left))
		}
		return
	}
}

// listUnseen returns the agents that have never shown themselves, and that no other node has.
func (n *Node) listUnseen() (ids []string) {
	for page, more := 0, true; more; page++ {
		var list []detector.Record
		list, more = n.detector.Page(page)
		for i := range list {
			if r := &list[i]; r.Status == detector.NeverConnected && !r.Seen && !r.Elsewhere && !n.clustered.isRecordedElsewhere(r.ID) {
				ids = append(ids, r.ID.String())
			}
		}
	}
	return ids
}

// isRecordedElsewhere reports whether another node has recorded something of an agent.
func (c *clusterPart) isRecordedElsewhere(id detector.AgentID) bool {
	if c == nil {
		return false
	}
	o, ok := c.shared.Owner(ownership.AgentID(id))
	return ok && o.Node != c.node
}
