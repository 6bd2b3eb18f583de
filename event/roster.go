package event

// AgentsBucket is the JetStream key-value bucket that holds the present state of
// every agent, under its ID.
const AgentsBucket = "PULSE_AGENTS"

// AgentState is the value of an agent's key in [AgentsBucket]: what its last
// status change has left behind. Of an active agent, LastSeen does not go on: the
// keep-alive events tell of that.
type AgentState struct {
	AgentID   string `json:"agent_id"`
	AgentName string `json:"agent_name"`
	IPAddress string `json:"ip_address"`
	Status    Status `json:"status"`
	Since     int64  `json:"since"`               // Unix time of the change, seconds
	LastSeen  int64  `json:"last_seen,omitempty"` // Unix time of the last sign of life before the change, seconds; absent if there was none
	Reason    string `json:"reason"`
	Removed   bool   `json:"removed"`  // it is no longer registered; the key stays
	Node      string `json:"node"`     // which node told it, in
	Epoch     uint64 `json:"epoch"`    // which life of it, by
	Sequence  uint64 `json:"sequence"` // which message
	Updated   int64  `json:"updated"`  // Unix time at which this value was written, seconds
}

// State is what the message says of its agent.
func (m *StatusChangeMessage) State() AgentState {
	c, s := &m.StatusChange, &m.Security
	return AgentState{AgentID: c.AgentID, AgentName: c.AgentName, IPAddress: c.IPAddress, Status: c.CurrentStatus, Since: c.Timestamp,
		LastSeen: c.LastSeen, Reason: c.Reason, Removed: c.Reason == AgentRemoved, Node: s.Node, Epoch: s.Epoch, Sequence: s.Sequence}
}

// Supersedes reports whether this state is news to one who knows old.
//
// Of one node, the later message counts. Of two, as when an agent has moved, the
// one that knows of the later sign of life: for a lost agent that is its last
// one, not the loss, which the node it left tells after it is long at home
// elsewhere. In the same second, who is alive counts.
func (a *AgentState) Supersedes(old *AgentState) bool {
	if a.Node == old.Node {
		return a.Epoch > old.Epoch || a.Epoch == old.Epoch && a.Sequence > old.Sequence
	}
	if now, before := a.sign(), old.sign(); now != before {
		return now > before
	}
	return a.Status != Disconnected && old.Status == Disconnected
}

// sign is the time of the last sign of life that the state knows of.
func (a *AgentState) sign() int64 {
	if a.Status == Disconnected && a.LastSeen > 0 {
		return a.LastSeen
	}
	return a.Since
}
