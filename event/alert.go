package event

// The levels of alerts that are not about one status change.
const (
	FlappingLevel  = 9
	OutageLevel    = 13
	RecoveredLevel = 3

	FailureLevel = 12 // a condition of a node that keeps it from its work
	WarningLevel = 7  // another condition
	EndedLevel   = 3  // the end of either
)

// ConditionLevel returns the level of a node's condition.
func ConditionLevel(state string, failure bool) int {
	switch {
	case state == ConditionEnded:
		return EndedLevel
	case failure:
		return FailureLevel
	}
	return WarningLevel
}

// AlertLevel returns the level of a status change on Wazuh's scale (0 to 15),
// from its reason and the number of keep-alives the agent had missed. An agent
// that vanished weighs more the more often it was asked in vain: from 6 to 12.
func AlertLevel(reason string, missed int) int {
	switch reason {
	case KeepAliveTimeout, MissedKeepAlives, ConnectionLost:
		return min(max(5+missed, 6), 12)
	case AgentRemoved:
		return 5
	default:
		return 3
	}
}
