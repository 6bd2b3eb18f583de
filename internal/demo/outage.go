package demo

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

const (
	// MinOutageAgents is the least number of agents for an outage.
	MinOutageAgents = 20

	// learnTime is how long after all agents are active the detector knows
	// their intervals: it needs five keep-alives of each.
	learnTime = 5 * notify
	// waitTimeout is how long the scenario waits for agents that do not become
	// active, before the cut and after it.
	waitTimeout = 30 * time.Second
	// afterHold is how long after the hold an alert of an agent that stayed
	// away would have arrived.
	afterHold = 2 * time.Second
	// groupWindow is how long status changes are collected for one line.
	groupWindow = 500 * time.Millisecond
)

// OutageTime returns how long a demo with such an outage usually takes.
func OutageTime(outage time.Duration) time.Duration {
	return 2*notify + learnTime + outage + interval + outageHold + afterHold
}

// outageScenario is the scenario in which all agents lose their network for a
// while.
type outageScenario struct {
	*demoRun
	length  time.Duration
	stays   bool // the scenario lasts for the demo's whole time
	ready   time.Time
	cut     time.Time
	healed  time.Time
	ended   time.Time       // when fleet_recovered was received
	lost    map[string]bool // agents with a status change to disconnected
	changes changeCounts    // not printed yet
}

// changeCounts counts status changes, to print them in one line.
type changeCounts struct {
	since                time.Time
	gone, marked, active int
}

func newOutageScenario(p *demoRun, length time.Duration, stays bool) *outageScenario {
	p.report.Blackout = true
	return &outageScenario{demoRun: p, length: length, stays: stays, lost: make(map[string]bool)}
}

// advance cuts the network and restores it.
func (p *outageScenario) advance(now time.Time) {
	if now.Sub(p.changes.since) >= groupWindow {
		p.printChanges(now)
	}
	switch {
	case !p.started:
	case p.ready.IsZero():
		p.ready = now.Add(learnTime)
	case p.cut.IsZero() && !now.Before(p.ready):
		p.cut = now
		p.printEvent(now, fmt.Sprintf("all %d agents are cut off from the network, for %v", len(p.ids), p.length))
		p.agents.CutAll()
	case !p.cut.IsZero() && p.healed.IsZero() && now.Sub(p.cut) >= p.length:
		p.healed = now
		p.printChanges(now)
		p.printEvent(now, "the network is back")
		p.agents.HealAll()
	}
}

func (p *outageScenario) handleChange(c *event.StatusChange, now time.Time) {
	p.changes.since = cmp.Or(p.changes.since, now)
	switch {
	case c.CurrentStatus == event.Disconnected:
		p.handleLoss(c, now)
	case c.CurrentStatus == event.Active && !p.cut.IsZero():
		p.changes.active++
	}
}

// handleLoss records the loss of an agent: a detection after the cut,
// otherwise a false one.
func (p *outageScenario) handleLoss(c *event.StatusChange, now time.Time) {
	p.changes.gone++
	if c.Outage {
		p.changes.marked++
		p.report.Marked++
	}
	if p.cut.IsZero() || !p.healed.IsZero() || p.lost[c.AgentID] {
		p.report.False = append(p.report.False, newDetection("", c, 0))
		return
	}
	p.lost[c.AgentID] = true
	p.report.Detections = append(p.report.Detections, newDetection(agentsim.Cut.String(), c, now.Sub(p.cut)))
}

// handleAlert does nothing: an alert of a single agent is counted, and an error in the report.
func (p *outageScenario) handleAlert(*event.StatusChange, time.Time) {}

func (p *outageScenario) handleOutage(m *event.FleetOutageMessage, now time.Time) {
	p.printChanges(now)
	p.printOutage(m, now)
	if m.Recovered != nil {
		p.ended = now
	}
}

// printChanges prints the status changes that were collected.
func (p *outageScenario) printChanges(now time.Time) {
	c := p.changes
	p.changes = changeCounts{}
	if c.gone > 0 {
		p.printEvent(now, fmt.Sprintf("→ %d status changes to disconnected, %d of them marked as part of the outage", c.gone, c.marked))
	}
	if c.active > 0 {
		p.printEvent(now, fmt.Sprintf("→ %d status changes to active", c.active))
	}
}

// isOver reports whether the hold and the time for late alerts are over, or
// whether what has to happen before did not happen in time.
func (p *outageScenario) isOver(now time.Time) bool {
	switch {
	case p.stays:
		return false
	case !p.started:
		return now.Sub(p.start) > waitTimeout
	case p.healed.IsZero():
		return false
	case p.ended.IsZero() || !p.allActive():
		return now.Sub(p.healed) > waitTimeout
	}
	return now.Sub(p.ended) > outageHold+afterHold
}

// evaluate finds the agents whose loss or return was not reported.
func (p *outageScenario) evaluate(end time.Time) {
	p.printChanges(end)
	if p.cut.IsZero() || cmp.Or(p.healed, end).Sub(p.cut) < slowest {
		return
	}
	for _, id := range p.ids {
		if !p.lost[id] {
			p.report.Missed = append(p.report.Missed, id)
		}
	}
	slices.Sort(p.report.Missed)
	if !p.healed.IsZero() && end.Sub(p.healed) > slowest {
		p.report.NeverBack = p.countInactive()
	}
}
