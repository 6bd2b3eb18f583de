package event

// NodeConditionMessage is published when a condition of a node itself begins, and
// when it ends.
type NodeConditionMessage struct {
	Condition NodeCondition `json:"node_condition"`
	Security  Security      `json:"security"`
}

// NodeCondition is the body of a NodeConditionMessage.
type NodeCondition struct {
	ManagerNode string `json:"manager_node"`
	Code        string `json:"code"`        // docs/messages.md lists the codes, and more may come
	State       State  `json:"state"`       // ConditionBegan or ConditionEnded
	Problem     string `json:"problem"`     // a text for people; of an end, the last one
	Since       int64  `json:"since"`       // Unix time at which it began, seconds
	Timestamp   int64  `json:"timestamp"`   // Unix time, seconds
	AlertLevel  int    `json:"alert_level"` // of a failure 12, of a warning 7, of an end 3
}
