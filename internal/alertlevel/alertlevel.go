// Package alertlevel assigns the alert levels of messages, on Wazuh's scale of 0 to 15.
package alertlevel

import "github.com/wazuh-pulse/pulse/event"

// The levels of alerts that are not about one status change.
const (
	Flapping  = 9
	Outage    = 13
	Recovered = 3

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

// OfStatusChange returns the level of a status change, from its reason and the number
// of keep-alives that the agent had missed. The level of a lost agent rises with that
// number from 6 to 12.
func OfStatusChange(reason event.Reason, missed int) int {
	switch reason {
	case event.KeepAliveTimeout, event.MissedKeepAlives, event.ConnectionLost:
		return min(max(5+missed, 6), 12)
	case event.AgentRemoved:
		return 5
	default:
		return 3
	}
}
