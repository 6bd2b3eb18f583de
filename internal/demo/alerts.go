package demo

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// alertThreshold is the level from which a status change is an alert.
const alertThreshold = 8

// handleAlert prints an alert of a single agent as a person on duty gets it, and records how
// soon it came.
func (p *failureScenario) handleAlert(c *event.StatusChange, now time.Time) {
	p.printAgent(now, c.AgentID, fmt.Sprintf("→ ALERT, level %d: %s", c.AlertLevel, explainAlert(c)))
	f := p.latest[c.AgentID]
	if f == nil || f.detection < 0 {
		return
	}
	if d := &p.report.Detections[f.detection]; d.AlertMS == nil {
		after := toMilliseconds(now.Sub(f.at))
		d.AlertMS, f.alertAt = &after, now
	}
	if f.deed.quiet {
		p.report.QuietAlerts = append(p.report.QuietAlerts, c.AgentID)
	}
}

// explainAlert returns what an alert is about.
func explainAlert(c *event.StatusChange) string {
	what := "the agent does not answer"
	if c.Reason == event.ConnectionLost {
		what = "the agent is gone"
	}
	switch c.Host {
	case event.HostAnswers:
		what += ", and its host is alive"
	case event.HostSilent:
		what = "neither the agent nor its host answers"
	}
	if c.AwayFor > 0 {
		what += fmt.Sprintf(", for %v now", c.AwayDuration())
	}
	if c.Technique != "" {
		what += " (" + c.Technique + ", impair defenses)"
	}
	return what
}

// describeLoss returns what a status change says of a loss.
func describeLoss(c *event.StatusChange) string {
	text := string(c.Reason)
	switch c.Host {
	case event.HostAnswers:
		text += ", host answers"
	case event.HostSilent:
		text += ", host silent"
	}
	if c.Silenced {
		text += ", silenced"
	}
	return text
}
