package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

var failureKinds = []agentsim.Failure{agentsim.Shutdown, agentsim.Kill, agentsim.Hang, agentsim.Cut}

// failureTexts describes each kind of failure.
var failureTexts = map[agentsim.Failure]string{
	agentsim.Shutdown: "is shut down properly",
	agentsim.Kill:     "is killed: its process ends without a shutdown message",
	agentsim.Hang:     "hangs: its connection is open, and it sends nothing",
	agentsim.Cut:      "is cut off from the network",
}

// recoveryTexts describes the recovery from each.
var recoveryTexts = map[agentsim.Failure]string{
	agentsim.Shutdown: "is started again",
	agentsim.Kill:     "is started again",
	agentsim.Hang:     "gets to work again",
	agentsim.Cut:      "has its network back",
}

const (
	firstFailure = 3500 * time.Millisecond // after all agents are active: by the first hang the detector knows their intervals
	failurePause = 700 * time.Millisecond  // between two failures
	downTime     = 2 * time.Second         // from the message about a failure to the recovery
)

// failureScenario is the scenario in which agents fail one after the other, in
// every way.
type failureScenario struct {
	*demoRun
	failures      map[string]*failure // agents that failed and are not active again
	nextIndex     int                 // counts failures
	nextAt        time.Time
	lastFailureAt time.Time // no failures after this; zero: no limit
}

// failure is what was done to an agent.
type failure struct {
	how         agentsim.Failure
	at          time.Time
	foundAt     time.Time // when the message about it arrived
	recoveredAt time.Time
}

func newFailureScenario(p *demoRun) *failureScenario {
	return &failureScenario{demoRun: p, failures: make(map[string]*failure)}
}

// advance makes an agent fail or recover, if it is time.
func (p *failureScenario) advance(now time.Time) {
	for id, d := range p.failures {
		if d.recoveredAt.IsZero() && p.mayRecover(d, now) {
			d.recoveredAt = now
			if all := p.lost[id]; len(all) > 0 && all[len(all)-1].found.Equal(d.foundAt) {
				all[len(all)-1].back = now
			}
			p.printAgent(now, id, recoveryTexts[d.how])
			_ = p.agents.Revive(id) // the only error is an unknown ID
		}
	}
	if p.nextAt.IsZero() && p.started {
		p.nextAt = now.Add(firstFailure)
	}
	if !p.started || now.Before(p.nextAt) || !p.lastFailureAt.IsZero() && now.After(p.lastFailureAt) {
		return
	}
	how := failureKinds[p.nextIndex%len(failureKinds)]
	id := p.ids[p.nextIndex%len(p.ids)]
	if p.failures[id] != nil || !p.active[id] {
		return // it is not active yet; try again at the next tick
	}
	p.nextIndex++
	p.nextAt = now.Add(failurePause)
	if p.nextIndex%len(failureKinds) == 0 {
		p.nextAt = now.Add(4 * failurePause)
	}
	p.failures[id] = &failure{how: how, at: time.Now()}
	p.printAgent(now, id, failureTexts[how])
	_ = p.agents.Fail(id, how)
}

// mayRecover reports whether a failure has been known for long enough, or,
// while messages are delayed, must have been detected.
func (p *failureScenario) mayRecover(d *failure, now time.Time) bool {
	if d.foundAt.IsZero() {
		return p.messagesDelayed() && now.Sub(d.at) >= slowest+downTime
	}
	return now.Sub(d.foundAt) >= downTime
}

func (p *failureScenario) handleChange(c *event.StatusChange, now time.Time) {
	d := p.failures[c.AgentID]
	switch {
	case c.CurrentStatus == event.Active && d != nil && !d.recoveredAt.IsZero():
		p.printAgent(now, c.AgentID, fmt.Sprintf("→ %s, known after %v", c.Reason, roundDuration(now.Sub(d.recoveredAt))))
		delete(p.failures, c.AgentID)
	case c.CurrentStatus == event.Disconnected && (d == nil || !d.foundAt.IsZero()):
		p.report.False = append(p.report.False, Detection{AgentID: c.AgentID, Reason: c.Reason})
		p.printAgent(now, c.AgentID, "→ "+string(c.Reason)+", though nothing was done to it")
	case c.CurrentStatus == event.Disconnected:
		d.foundAt = now
		if d.how != agentsim.Shutdown { // the manager is informed of a shutdown by the agent
			p.lost[c.AgentID] = append(p.lost[c.AgentID], loss{found: now})
		}
		after := now.Sub(d.at)
		p.report.Detections = append(p.report.Detections, Detection{AgentID: c.AgentID, How: d.how.String(), Reason: c.Reason, AfterMS: toMilliseconds(after)})
		p.printAgent(now, c.AgentID, fmt.Sprintf("→ disconnected, %s, alert level %d: known after %v", c.Reason, c.AlertLevel, roundDuration(after)))
	}
}

// handleOutage prints an outage. Single failures are none, so it is an error
// in the report.
func (p *failureScenario) handleOutage(m *event.FleetOutageMessage, now time.Time) {
	p.printOutage(m, now)
}

func (p *failureScenario) isOver(time.Time) bool { return false }

// evaluate finds the failures that were not reported though there was time.
func (p *failureScenario) evaluate(end time.Time) {
	for id, d := range p.failures {
		if d.foundAt.IsZero() && end.Sub(d.at) > slowest && p.report.Waiting == 0 {
			p.report.Missed = append(p.report.Missed, id)
		}
	}
	slices.Sort(p.report.Missed)
}
