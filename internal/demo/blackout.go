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
	// FewestForOutage is how many agents an outage takes at least.
	FewestForOutage = 20

	// firstHabits is how long after all agents are active their habits are known:
	// each takes five of the agent's own keep-alives.
	firstHabits = 5 * notify
	// patience is how long the plot waits for agents that do not come, before
	// the cut and after it.
	patience = 30 * time.Second
	// afterHold is how long after the hold an alert of an agent that stayed
	// away would have come.
	afterHold = 2 * time.Second
	// together is for how long status changes are gathered into one line.
	together = 500 * time.Millisecond
)

// BlackoutTime returns how long a demo with such an outage usually takes.
func BlackoutTime(outage time.Duration) time.Duration {
	return 2*notify + firstHabits + outage + interval + outageHold + afterHold
}

// blackout is the plot in which the whole fleet loses its network for a while.
type blackout struct {
	*play
	length  time.Duration
	stays   bool // to the end of the demo's time
	ready   time.Time
	cut     time.Time
	healed  time.Time
	ended   time.Time       // when the recovery was told
	lost    map[string]bool // agents whose loss was told
	changes crowd           // not told yet
}

// crowd counts status changes, to tell them in one line.
type crowd struct {
	since                time.Time
	gone, marked, active int
}

func newBlackout(p *play, length time.Duration, stays bool) *blackout {
	p.report.Blackout = true
	return &blackout{play: p, length: length, stays: stays, lost: make(map[string]bool)}
}

// act cuts the network and heals it.
func (p *blackout) act(now time.Time) {
	if now.Sub(p.changes.since) >= together {
		p.flush(now)
	}
	switch {
	case !p.opened:
	case p.ready.IsZero():
		p.ready = now.Add(firstHabits)
	case p.cut.IsZero() && !now.Before(p.ready):
		p.cut = now
		p.tell(now, fmt.Sprintf("all %d agents are cut off from the network, for %v", len(p.ids), p.length))
		p.agents.CutAll()
	case !p.cut.IsZero() && p.healed.IsZero() && now.Sub(p.cut) >= p.length:
		p.healed = now
		p.flush(now)
		p.tell(now, "the network is back")
		p.agents.HealAll()
	}
}

func (p *blackout) changed(c *event.StatusChange, now time.Time) {
	p.changes.since = cmp.Or(p.changes.since, now)
	switch {
	case c.CurrentStatus == event.Disconnected:
		p.loss(c, now)
	case c.CurrentStatus == event.Active && !p.cut.IsZero():
		p.changes.active++
	}
}

// loss takes the loss of an agent: a detection once behind the cut, else false.
func (p *blackout) loss(c *event.StatusChange, now time.Time) {
	p.changes.gone++
	if c.Outage {
		p.changes.marked++
		p.report.Marked++
	}
	if p.cut.IsZero() || !p.healed.IsZero() || p.lost[c.AgentID] {
		p.report.False = append(p.report.False, Detection{AgentID: c.AgentID, Reason: c.Reason})
		return
	}
	p.lost[c.AgentID] = true
	p.report.Detections = append(p.report.Detections, Detection{AgentID: c.AgentID, How: agentsim.Cut.String(), Reason: c.Reason,
		AfterMS: milliseconds(now.Sub(p.cut))})
}

func (p *blackout) fleet(m *event.FleetOutageMessage, now time.Time) {
	p.flush(now)
	p.sayFleet(m, now)
	if m.Recovered != nil {
		p.ended = now
	}
}

// flush tells the status changes that were gathered.
func (p *blackout) flush(now time.Time) {
	c := p.changes
	p.changes = crowd{}
	if c.gone > 0 {
		p.tell(now, fmt.Sprintf("→ %d status changes to disconnected, %d of them marked as part of the outage", c.gone, c.marked))
	}
	if c.active > 0 {
		p.tell(now, fmt.Sprintf("→ %d status changes to active", c.active))
	}
}

// over reports whether the hold is over, and with it the time of late alerts,
// or whether what has to come first does not come.
func (p *blackout) over(now time.Time) bool {
	switch {
	case p.stays:
		return false
	case !p.opened:
		return now.Sub(p.start) > patience
	case p.healed.IsZero():
		return false
	case p.ended.IsZero() || !p.allActive():
		return now.Sub(p.healed) > patience
	}
	return now.Sub(p.ended) > outageHold+afterHold
}

// judge finds the agents whose loss nobody told, or whose return.
func (p *blackout) judge(end time.Time) {
	p.flush(end)
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
		p.report.NeverBack = p.away()
	}
}
