package event

// NodeConditionMessage is published when something begins to be wrong with a node
// itself, and when that ends.
type NodeConditionMessage struct {
	Condition NodeCondition `json:"node_condition"`
	Security  Security      `json:"security"`
}

// The states of a node's condition.
const (
	ConditionBegan = "began"
	ConditionEnded = "ended"
)

// NodeCondition is the body of a NodeConditionMessage.
type NodeCondition struct {
	ManagerNode string `json:"manager_node"`
	Code        string `json:"code"`        // what is wrong; docs/messages.md lists the codes, and more may come
	State       string `json:"state"`       // ConditionBegan or ConditionEnded
	Problem     string `json:"problem"`     // in words, for people; of an end, the last that was known
	Since       int64  `json:"since"`       // Unix time at which it began, seconds
	Timestamp   int64  `json:"timestamp"`   // Unix time, seconds
	AlertLevel  int    `json:"alert_level"` // FailureLevel, WarningLevel or EndedLevel
}
