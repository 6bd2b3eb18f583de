package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

const (
	firstFailure = 3500 * time.Millisecond // after all agents are active: by the first hang the detector knows their intervals
	failurePause = 700 * time.Millisecond  // between two failures
	downTime     = 2 * time.Second         // from the message about a failure to the recovery
)

// failureScenario is the scenario in which agents fail one after the other, in
// every way.
type failureScenario struct {
	*demoRun
	failures      map[string]*failure // of agents that failed and are not active again
	latest        map[string]*failure // the last one of each agent
	done          []*failure          // all
	nextIndex     int                 // counts failures
	nextAt        time.Time
	lastFailureAt time.Time // no failures after this; zero: no limit
	silencedUntil map[string]time.Time
}

// failure is what was done to an agent.
type failure struct {
	id          string
	deed        *deed
	at          time.Time
	foundAt     time.Time // when the message about it arrived
	alertAt     time.Time // the same of its first alert
	recoveredAt time.Time
	detection   int  // its index in the report; -1 while there is none
	wantsAlert  bool // it has to be an alert
}

func newFailureScenario(p *demoRun) *failureScenario {
	return &failureScenario{demoRun: p, failures: make(map[string]*failure), latest: make(map[string]*failure), silencedUntil: make(map[string]time.Time)}
}

// advance makes an agent fail or recover, if it is time.
func (p *failureScenario) advance(now time.Time) {
	for _, f := range p.failures {
		if f.recoveredAt.IsZero() && f.mayEnd(now, p.messagesDelayed(), p.pace()) {
			p.endFailure(f, now)
		}
	}
	if p.nextAt.IsZero() && p.started {
		p.nextAt = now.Add(p.pace().first)
	}
	if !p.started || now.Before(p.nextAt) || !p.lastFailureAt.IsZero() && now.After(p.lastFailureAt) {
		return
	}
	pace := p.pace()
	d := pace.deeds[p.nextIndex%len(pace.deeds)]
	id := p.ids[p.nextIndex%len(p.ids)]
	if p.failures[id] != nil || !p.active[id] || now.Before(p.silencedUntil[id]) {
		return // it is not active yet; try again at the next tick
	}
	p.nextIndex++
	p.nextAt = now.Add(pace.pause)
	if p.nextIndex%len(pace.deeds) == 0 {
		p.nextAt = now.Add(max(pace.pause, 4*failurePause))
	}
	p.printAgent(now, id, d.text)
	if d.silenced && !p.silenceAgent(id, now) {
		return
	}
	p.addFailure(id, d, time.Now())
	_ = p.agents.Fail(id, d.failure)
}

// silenceAgent silences an agent for planned work, as a user would. It reports whether that worked.
func (p *failureScenario) silenceAgent(id string, now time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_, err := p.node.AddSilence(ctx, &silence.Request{Agent: id, For: silenceTime.String(), Comment: "planned work", By: "pulse demo"})
	if err != nil {
		p.report.SilenceErrors = append(p.report.SilenceErrors, err.Error())
		p.printAgent(now, id, "cannot be silenced: "+err.Error())
		return false
	}
	p.silencedUntil[id] = time.Now().Add(silenceTime)
	return true
}

// addFailure records what is done to an agent.
func (p *failureScenario) addFailure(id string, d *deed, now time.Time) *failure {
	f := &failure{id: id, deed: d, at: now, detection: -1, wantsAlert: d.alerts}
	p.failures[id], p.latest[id] = f, f
	p.done = append(p.done, f)
	if d.isReboot() {
		p.report.Reboots++
	}
	return f
}

// endFailure has an agent recover.
func (p *failureScenario) endFailure(f *failure, now time.Time) {
	f.recoveredAt = now
	if all := p.lost[f.id]; len(all) > 0 && all[len(all)-1].found.Equal(f.foundAt) {
		all[len(all)-1].back = now
	}
	p.printAgent(now, f.id, f.deed.recovery)
	_ = p.agents.Revive(f.id) // the only error is an unknown ID
}

func (p *failureScenario) handleChange(c *event.StatusChange, now time.Time) {
	f := p.failures[c.AgentID]
	switch {
	case c.CurrentStatus == event.Active && f != nil && !f.recoveredAt.IsZero():
		p.printAgent(now, c.AgentID, fmt.Sprintf("→ %s, known after %v", c.Reason, roundDuration(now.Sub(f.recoveredAt))))
		delete(p.failures, c.AgentID)
	case c.CurrentStatus == event.Disconnected && (f == nil || !f.foundAt.IsZero()):
		p.report.False = append(p.report.False, newDetection("", c, 0))
		p.printAgent(now, c.AgentID, "→ "+string(c.Reason)+", though nothing was done to it")
	case c.CurrentStatus == event.Disconnected:
		p.handleLoss(f, c, now)
	}
}

// handleLoss records that a failure was detected.
func (p *failureScenario) handleLoss(f *failure, c *event.StatusChange, now time.Time) {
	f.foundAt = now
	if f.deed.failure != agentsim.Shutdown { // the manager is informed of a shutdown by the agent
		p.lost[c.AgentID] = append(p.lost[c.AgentID], loss{found: now, silenced: c.Silenced})
	}
	after := now.Sub(f.at)
	f.detection = len(p.report.Detections)
	f.wantsAlert = f.wantsAlert || c.AlertLevel >= alertThreshold && !c.Silenced
	p.report.Detections = append(p.report.Detections, newDetection(f.deed.name, c, after))
	p.printAgent(now, c.AgentID, fmt.Sprintf("→ disconnected, %s, alert level %d: known after %v", describeLoss(c), c.AlertLevel, roundDuration(after)))
}

// handleOutage prints an outage. Single failures are none, so it is an error
// in the report.
func (p *failureScenario) handleOutage(m *event.FleetOutageMessage, now time.Time) {
	p.printOutage(m, now)
}

func (p *failureScenario) isOver(time.Time) bool { return false }

// evaluate finds the failures that were not reported, and the losses that were no alert,
// though there was time.
func (p *failureScenario) evaluate(end time.Time) {
	for _, f := range p.done {
		if end.Sub(f.at) <= p.pace().slowest || p.report.Waiting > 0 {
			continue
		}
		if f.foundAt.IsZero() {
			p.report.Missed = append(p.report.Missed, f.id)
		} else if f.wantsAlert && f.alertAt.IsZero() {
			p.report.MissedAlerts = append(p.report.MissedAlerts, f.id)
		}
	}
	slices.Sort(p.report.Missed)
	slices.Sort(p.report.MissedAlerts)
}
