package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

var ways = []agentsim.Death{agentsim.Shutdown, agentsim.Kill, agentsim.Hang, agentsim.Cut}

// told says a way to die in plain words.
var told = map[agentsim.Death]string{
	agentsim.Shutdown: "is shut down properly",
	agentsim.Kill:     "is killed: its process ends without a word",
	agentsim.Hang:     "hangs: its connection is open, and it says nothing",
	agentsim.Cut:      "is cut off from the network",
}

// undone says how each is undone.
var undone = map[agentsim.Death]string{
	agentsim.Shutdown: "is started again",
	agentsim.Kill:     "is started again",
	agentsim.Hang:     "gets to work again",
	agentsim.Cut:      "has its network back",
}

const (
	firstDeath = 3500 * time.Millisecond // after all agents are active: the first hang comes when their habits are known
	deathPause = 700 * time.Millisecond  // between two deaths
	deadTime   = 2 * time.Second         // from the message about a death to the revival
)

// deaths is the plot in which agents die one after the other, in every way.
type deaths struct {
	*play
	gone    map[string]*deed // agents that were made to die and are not back
	next    int              // counts deaths
	nextAt  time.Time
	curtain time.Time // no deaths after this; zero: none is set
}

// deed is what was done to an agent.
type deed struct {
	how     agentsim.Death
	at      time.Time
	found   time.Time // when the message about it came
	revived time.Time
}

func newDeaths(p *play) *deaths { return &deaths{play: p, gone: make(map[string]*deed)} }

// act lets an agent die, or come back, if it is time.
func (p *deaths) act(now time.Time) {
	for id, d := range p.gone {
		if d.revived.IsZero() && p.mayReturn(d, now) {
			d.revived = now
			if all := p.lost[id]; len(all) > 0 && all[len(all)-1].found.Equal(d.found) {
				all[len(all)-1].back = now
			}
			p.say(now, id, undone[d.how])
			_ = p.agents.Revive(id) // the id is one of the fleet's
		}
	}
	if p.nextAt.IsZero() && p.opened {
		p.nextAt = now.Add(firstDeath)
	}
	if !p.opened || now.Before(p.nextAt) || !p.curtain.IsZero() && now.After(p.curtain) {
		return
	}
	how := ways[p.next%len(ways)]
	id := p.ids[p.next%len(p.ids)]
	if p.gone[id] != nil || !p.active[id] {
		return // it has not come back yet; try again at the next tick
	}
	p.next++
	p.nextAt = now.Add(deathPause)
	if p.next%len(ways) == 0 {
		p.nextAt = now.Add(4 * deathPause)
	}
	p.gone[id] = &deed{how: how, at: time.Now()}
	p.say(now, id, told[how])
	_ = p.agents.Die(id, how)
}

// mayReturn reports whether a death has been told for long enough, or, where
// nothing can be told at the moment, must have been found.
func (p *deaths) mayReturn(d *deed, now time.Time) bool {
	if d.found.IsZero() {
		return p.dark() && now.Sub(d.at) >= slowest+deadTime
	}
	return now.Sub(d.found) >= deadTime
}

func (p *deaths) changed(c *event.StatusChange, now time.Time) {
	d := p.gone[c.AgentID]
	switch {
	case c.CurrentStatus == event.Active && d != nil && !d.revived.IsZero():
		p.say(now, c.AgentID, fmt.Sprintf("→ %s, known after %v", c.Reason, short(now.Sub(d.revived))))
		delete(p.gone, c.AgentID)
	case c.CurrentStatus == event.Disconnected && (d == nil || !d.found.IsZero()):
		p.report.False = append(p.report.False, Detection{AgentID: c.AgentID, Reason: c.Reason})
		p.say(now, c.AgentID, "→ "+c.Reason+", though nothing was done to it")
	case c.CurrentStatus == event.Disconnected:
		d.found = now
		if d.how != agentsim.Shutdown { // that, the manager heard itself
			p.lost[c.AgentID] = append(p.lost[c.AgentID], loss{found: now})
		}
		after := now.Sub(d.at)
		p.report.Detections = append(p.report.Detections, Detection{AgentID: c.AgentID, How: d.how.String(), Reason: c.Reason, AfterMS: milliseconds(after)})
		p.say(now, c.AgentID, fmt.Sprintf("→ disconnected, %s, alert level %d: known after %v", c.Reason, c.AlertLevel, short(after)))
	}
}

// fleet takes an outage, which single deaths are not.
func (p *deaths) fleet(m *event.FleetOutageMessage, now time.Time) { p.sayFleet(m, now) }

func (p *deaths) over(time.Time) bool { return false }

// judge finds the deaths that nobody told, though there was time.
func (p *deaths) judge(end time.Time) {
	for id, d := range p.gone {
		if d.found.IsZero() && end.Sub(d.at) > slowest && p.report.Waiting == 0 {
			p.report.Missed = append(p.report.Missed, id)
		}
	}
	slices.Sort(p.report.Missed)
}
