// Package evidence converts what a loss was decided by, and what is known of an agent,
// between decisions and messages, and finds a loss's alert level from it.
//
// It holds plain values, and starts no goroutines.
package evidence

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Change is a status change, with what it was decided by.
type Change struct {
	Reason detector.Reason
	Missed int // unanswered keep-alives in a row
	Step   int // of an alert that is repeated while the agent stays away: which repetition, from 1
	detector.Evidence
}

// OfDecision returns the change that a decision is about.
func OfDecision(d *detector.Decision) Change {
	return Change{Reason: d.Reason, Missed: d.Missed, Step: d.Step, Evidence: d.Evidence}
}

func (c *Change) level() alertlevel.Change {
	return alertlevel.Change{Reason: event.Reason(c.Reason.String()), Missed: c.Missed, Closed: c.Closed, Step: c.Step,
		Host: event.Host(c.Host.String())}
}

// AlertLevel returns the alert level of the change.
func (c *Change) AlertLevel() int { return alertlevel.OfStatusChange(c.level()) }

// Message returns the evidence as messages have it: of a loss, and of a goodbye if the
// agent's host was probed after it.
func (c *Change) Message() (e event.Evidence) {
	probed := c.HostProbe != ""
	if !c.Reason.IsLoss() && !(c.Reason == detector.AgentShutdown && probed) {
		return e
	}
	e.Host, e.Technique, e.Confidence = event.Host(c.Host.String()), alertlevel.Technique(c.level()), c.listSeen()
	if probed {
		e.HostProbe, e.HostProbedAt = c.HostProbe, c.HostProbedTime.Unix()
	}
	return e
}

// listSeen lists what was seen of a loss.
func (c *Change) listSeen() (seen []string) {
	if c.Closed && c.Reason.IsLoss() {
		seen = append(seen, event.SawConnectionClosed)
	}
	if c.Missed > 0 {
		seen = append(seen, countSeen(event.SawUnanswered, int64(c.Missed)))
	}
	if s := int64(c.SilentFor / time.Second); s > 0 {
		seen = append(seen, countSeen(event.SawSilence, s))
	}
	switch c.Host {
	case detector.HostAnswers:
		seen = append(seen, event.SawHostAnswer)
	case detector.HostSilent:
		seen = append(seen, event.SawHostSilent)
	}
	return seen
}

func countSeen(what string, n int64) string { return what + ":" + strconv.FormatInt(n, 10) }

// Parse returns the evidence of a message. What is not understood is left out.
func Parse(e *event.Evidence) (found detector.Evidence) {
	found.Host, _ = detector.ParseHost(cmp.Or(string(e.Host), detector.HostUnknown.String()))
	if e.HostProbe != "" {
		found.HostProbe, found.HostProbedTime = e.HostProbe, e.HostProbeTime()
	}
	for _, seen := range e.Confidence {
		what, number, _ := strings.Cut(seen, ":")
		switch what {
		case event.SawConnectionClosed:
			found.Closed = true
		case event.SawSilence:
			if s, err := strconv.ParseUint(number, 10, 32); err == nil {
				found.SilentFor = time.Duration(s) * time.Second
			}
		}
	}
	return found
}

// InfoMessage returns what is known of an agent as messages have it.
func InfoMessage(i detector.Info) event.AgentInfo {
	m := event.AgentInfo{OSName: i.OSName, OSVersion: i.OSVersion, AgentVersion: i.Version}
	m.WazuhGroups = agentinfo.SplitGroups(i.Groups)
	return m
}

// ParseInfo returns what a message has of an agent.
func ParseInfo(m *event.AgentInfo) detector.Info {
	return agentinfo.New(strings.Join(m.WazuhGroups, ","), m.OSName, m.OSVersion, m.AgentVersion)
}
