package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// heldAlerts are alerts about agents that are lost here, and outages of them, decided while
// this node did not know what the others store: they may have the agents. Its messages cannot
// get out meanwhile either. The status changes are published as they are decided.
type heldAlerts struct {
	mu      sync.Mutex
	byAgent map[detector.AgentID]heldAlert // the latest of each agent
	outage  heldOutage
	put     func(message.Record) // has one published
}

// heldAlert is an alert, and when it was decided.
type heldAlert struct {
	message.Record
	at time.Time
}

// proofTime is how long a node has to show that it has an agent which this one has claimed
// after it, and asks the agent at once.
const proofTime = 5 * time.Second

// heldOutage is what is known of the losses that were decided in doubt, and of the outage
// that they may be.
type heldOutage struct {
	lost    map[detector.AgentID]struct{} // agents whose losses were decided in doubt
	before  uint64                        // order of the view's latest record at the first of them
	until   time.Time                     // for how long these are known: outages are reported late
	reports []message.Record              // that wait: beginnings, and the end
	refuted bool                          // the outage that goes on is none: its end is none either
}

// doubtKept is for how long the losses of a doubt are known when it is over: an outage is
// reported, or over, soon after.
const doubtKept = 2 * time.Minute

// holdAlert holds the alert of a record, if this node is cut off. It reports whether nothing
// of the record is to be published now.
func (c *clusterPart) holdAlert(r *message.Record) bool {
	if c == nil {
		return false
	}
	h := &c.alerts
	h.mu.Lock()
	defer h.mu.Unlock()
	inDoubt := !c.mayJudge()
	switch r.Verdict {
	case detector.OutageBegan, detector.OutageEnded:
		return c.holdOutage(r, inDoubt)
	case detector.Changed:
		delete(h.byAgent, r.ID)
		inDoubt = inDoubt || r.To == detector.Disconnected && c.isClaimedLater(r.ID)
		if inDoubt && r.To == detector.Disconnected && r.Reason.IsLoss() {
			h.outage.addLoss(r.ID, c.shared.Status().Position)
		}
	}
	if !r.IsAlert() || !inDoubt {
		return false
	}
	held := *r
	held.Stored = nil
	if r.Verdict != detector.Changed {
		h.byAgent[r.ID] = heldAlert{held, time.Now()}
		return true
	}
	held.Verdict = detector.AlertReleased
	h.byAgent[r.ID] = heldAlert{held, time.Now()}
	r.AlertHeld = true
	return false
}

// mayJudge reports whether this node knows by now where agents have gone that have closed
// their connections here a grace ago: it has stored a sign of life since, and read what was
// stored before. So it does where nothing is shared.
func (c *clusterPart) mayJudge() bool {
	s := c.shared.Status()
	return s.Problem != "" || s.Loaded && !s.CutOff && time.Since(s.Since) < 11*c.beatPeriod()/10
}

// isClaimedLater reports whether a living node has claimed an agent after its last sign of life
// here. This node's claim may be the valid one nevertheless: when it was stored, what either of
// them had read was no later.
func (c *clusterPart) isClaimedLater(id detector.AgentID) bool {
	o, ok := c.shared.LaterClaim(ownership.AgentID(id))
	return ok && o.Reason == ownership.Here && !o.Lost
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
	if h := &c.alerts; h.isHolding() && c.mayJudge() {
		due = c.judgeOutage()
		for id, a := range h.byAgent {
			if _, ok := c.shared.Elsewhere(ownership.AgentID(id)); !ok {
				if c.isClaimedLater(id) && time.Since(a.at) < proofTime {
					continue
				}
				due = append(due, a.Record)
			}
			delete(h.byAgent, id)
		}
	}
	c.alerts.mu.Unlock()
	for i := range due {
		c.link.OnDecision(&due[i])
		c.alerts.put(due[i])
	}
}

func (h *heldAlerts) isHolding() bool { return len(h.byAgent)+len(h.outage.reports) > 0 }

// addLoss adds an agent that is lost here, while another node may have it.
func (o *heldOutage) addLoss(id detector.AgentID, position uint64) {
	now := time.Now()
	if o.lost == nil || len(o.reports) == 0 && now.After(o.until) {
		o.lost, o.before = make(map[detector.AgentID]struct{}), position
	}
	o.lost[id] = struct{}{}
	o.until = now.Add(doubtKept)
}

// holdOutage holds the report of an outage whose losses other nodes may refute, and reports
// whether it is not to be published now.
func (c *clusterPart) holdOutage(r *message.Record, inDoubt bool) bool {
	o := &c.alerts.outage
	ended := r.Verdict == detector.OutageEnded
	if inDoubt || len(o.reports) > 0 {
		if !ended && len(o.reports) > 0 && o.reports[len(o.reports)-1].Verdict == detector.OutageBegan {
			o.reports = o.reports[:len(o.reports)-1] // this one has its losses too
		}
		o.reports = append(o.reports, *r)
		return true
	}
	return !c.isOutageTrue(r)
}

// judgeOutage returns the reports that waited and are true.
func (c *clusterPart) judgeOutage() (due []message.Record) {
	o := &c.alerts.outage
	for i := range o.reports {
		if r := &o.reports[i]; c.isOutageTrue(r) {
			due = append(due, *r)
		}
	}
	o.reports = nil
	return due
}

// isOutageTrue reports whether a report of an outage is to be published, from which it takes
// what others refute. An outage is none, as the detector has it, if other nodes have had most
// of its agents.
func (c *clusterPart) isOutageTrue(r *message.Record) bool {
	o := &c.alerts.outage
	if r.Verdict == detector.OutageEnded {
		refuted := o.refuted
		o.refuted = false
		return !refuted
	}
	elsewhere := 0
	if time.Now().Before(o.until) || len(o.reports) > 0 {
		for id := range o.lost {
			if c.wasElsewhere(id, o.before) {
				elsewhere++
			}
		}
	}
	if o.refuted = 2*elsewhere > r.Fleet.Lost; o.refuted {
		return false
	}
	fleet := *r.Fleet
	fleet.Lost -= elsewhere
	closed := min(elsewhere, fleet.Closed) // who moves closes its connection
	fleet.Closed, fleet.Silent = fleet.Closed-closed, fleet.Silent-(elsewhere-closed)
	r.Fleet = &fleet
	return true
}

// wasElsewhere reports whether another node has an agent, or has had it after an order.
func (c *clusterPart) wasElsewhere(id detector.AgentID, after uint64) bool {
	if _, ok := c.shared.Elsewhere(ownership.AgentID(id)); ok {
		return true
	}
	return slices.ContainsFunc(c.shared.Claims(ownership.AgentID(id)), func(o ownership.Owner) bool {
		return o.Node != c.node && o.With == "" && o.Order > after
	})
}
