package daemon

import (
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// heldAlerts are alerts about agents that are lost here, decided while this node was cut off
// from what the others store: they may have the agents. Its messages cannot get out meanwhile
// either. The status changes are published as they are decided.
type heldAlerts struct {
	mu      sync.Mutex
	byAgent map[detector.AgentID]message.Record // the latest of each agent
	put     func(message.Record)                // has one published
}

// holdAlert holds the alert of a record, if this node is cut off. It reports whether nothing
// of the record is to be published now.
func (c *clusterPart) holdAlert(r *message.Record) bool {
	if c == nil {
		return false
	}
	h := &c.alerts
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Verdict == detector.Changed {
		delete(h.byAgent, r.ID)
	}
	if !r.IsAlert() || c.isCurrent() || c.shared.Status().Problem != "" {
		return false
	}
	held := *r
	held.Stored = nil
	if r.Verdict != detector.Changed {
		h.byAgent[r.ID] = held
		return true
	}
	held.Verdict = detector.AlertReleased
	h.byAgent[r.ID] = held
	r.AlertHeld = true
	return false
}

// dropAlert drops the held alert of an agent that another node has.
func (c *clusterPart) dropAlert(id detector.AgentID) {
	c.alerts.mu.Lock()
	defer c.alerts.mu.Unlock()
	delete(c.alerts.byAgent, id)
}

// releaseAlerts publishes the alerts that were held, once this node has read what the others
// have stored, but for agents that another node has.
func (c *clusterPart) releaseAlerts() {
	c.alerts.mu.Lock()
	var due []message.Record
	if len(c.alerts.byAgent) > 0 && (c.isCurrent() || c.shared.Status().Problem != "") {
		for id, r := range c.alerts.byAgent {
			if _, ok := c.shared.Elsewhere(ownership.AgentID(id)); !ok {
				due = append(due, r)
			}
		}
		clear(c.alerts.byAgent)
	}
	c.alerts.mu.Unlock()
	for i := range due {
		c.link.OnDecision(&due[i])
		c.alerts.put(due[i])
	}
}
