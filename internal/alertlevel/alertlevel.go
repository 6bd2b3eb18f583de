// Package alertlevel assigns the alert levels of messages, on Wazuh's scale of 0 to 15.
package alertlevel

import "github.com/wazuh-pulse/pulse/event"

// The levels of alerts that are not about one status change.
const (
	Flapping  = 9
	Outage    = 13
	Recovered = 3

	NodeLost   = 13 // of a cluster
	NodeBack   = 3
	Duplicated = 10 // two machines have the key of one agent

	Failure = 12 // a condition of a node that keeps it from its work
	Warning = 7  // another condition
	Ended   = 3  // the end of either
)

// OfCondition returns the level of a node's condition.
func OfCondition(state event.State, failure bool) int {
	switch {
	case state == event.ConditionEnded:
		return Ended
	case failure:
		return Failure
	}
	return Warning
}

// Change is what the level of a status change depends on.
type Change struct {
	Reason event.Reason
	Missed int        // unanswered keep-alives in a row
	Closed bool       // the agent's connection ended without a goodbye
	Host   event.Host // whether the agent's host still answers
	Step   int        // of an alert that is repeated while the agent stays away: which repetition, from 1
}

const (
	impaired = 10 // the agent is gone and its host lives

	BeforeFirstStep = 7 // the least level of a repetition is higher than this by the number of the repetition,
	Steps           = 3 // up to this number
)

// OfStatusChange returns the level of a status change, from the evidence for it. The level
// of a lost agent rises with the number of keep-alives that it had missed from 6 to 12.
func OfStatusChange(c Change) int {
	level := 3
	switch c.Reason {
	case event.KeepAliveTimeout, event.MissedKeepAlives, event.ConnectionLost:
		level = min(max(5+c.Missed, 6), 12)
	case event.NodeLost: // the alert is that of the node
		level = 6
	case event.AgentRemoved:
		level = 5
	}
	if Technique(c) != "" {
		level = max(level, impaired)
	}
	if c.Step > 0 {
		level = max(level, BeforeFirstStep+min(c.Step, Steps))
	}
	return level
}

// Technique returns the MITRE ATT&CK technique that a loss looks like; "" for none.
func Technique(c Change) string {
	switch c.Reason {
	case event.KeepAliveTimeout, event.MissedKeepAlives, event.ConnectionLost:
		if c.Closed && c.Host == event.HostAnswers {
			return event.ImpairDefenses
		}
	}
	return ""
}
