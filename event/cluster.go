package event

// NodeLostMessage is published when a node of a cluster is silent, by one of the others,
// and when it is back, by itself. One of the two parts is set.
type NodeLostMessage struct {
	Lost     *NodeLoss `json:"node_lost,omitempty"`
	Back     *NodeLoss `json:"node_back,omitempty"`
	Security Security  `json:"security"`
}

// NodeLoss is the loss of a node, or its end. Node and Beat identify the loss: another
// message with both is about the same one.
type NodeLoss struct {
	Node        string       `json:"node"`              // that is lost, or back
	AnnouncedBy string       `json:"announced_by"`      // the node that made the message
	Timestamp   int64        `json:"timestamp"`         // Unix time, seconds
	Since       int64        `json:"since,omitempty"`   // Unix time of its last sign of life before the loss, seconds: of a loss when the announcing node read it; of an end absent where the node has started since
	Agents      int          `json:"agents"`            // that it had; of an end, that it has
	Manager     ManagerState `json:"manager,omitempty"` // of a loss: whether the Wazuh manager on that node works
	Beat        uint64       `json:"beat,omitempty"`    // the number of its last sign of life before the loss, in the shared view; absent without one
	AlertLevel  int          `json:"alert_level"`       // of a loss 13, of an end 3
}

// AgentDuplicatedMessage is published when two machines have the key of one agent: there
// are signs of life of both.
type AgentDuplicatedMessage struct {
	Duplicated AgentDuplicated `json:"agent_duplicated"`
	Security   Security        `json:"security"`
}

// AgentDuplicated is the body of an AgentDuplicatedMessage.
type AgentDuplicated struct {
	AgentID    string    `json:"agent_id"`
	AgentName  string    `json:"agent_name"`
	Timestamp  int64     `json:"timestamp"` // Unix time, seconds
	Machines   []Machine `json:"machines"`  // two
	AlertLevel int       `json:"alert_level"`
}

// Machine is one of several that have the key of one agent.
type Machine struct {
	Node      string `json:"node"`       // to which it is connected
	IPAddress string `json:"ip_address"` // "any" while that is unknown
}
