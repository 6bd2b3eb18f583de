package event

// AgentsBucket is the JetStream key-value bucket that holds the present state of
// every agent, under its ID.
const AgentsBucket = "PULSE_AGENTS"

// AgentState is the value of an agent's key in [AgentsBucket]: the state after its
// last status change. Of an active agent, LastSeen stays as it was at the change:
// later signs of life are in the keep-alive events.
type AgentState struct {
	AgentID   string `json:"agent_id"`
	AgentName string `json:"agent_name"`
	IPAddress string `json:"ip_address"`
	Status    Status `json:"status"`
	Since     int64  `json:"since"`               // Unix time of the change, seconds
	LastSeen  int64  `json:"last_seen,omitempty"` // Unix time of the last sign of life before the change, seconds; absent if there was none
	Reason    Reason `json:"reason"`
	Removed   bool   `json:"removed"`  // it is no longer registered; the key stays
	Node      string `json:"node"`     // the node that published the change,
	Epoch     uint64 `json:"epoch"`    // in this epoch,
	Sequence  uint64 `json:"sequence"` // with this sequence
	Updated   int64  `json:"updated"`  // Unix time at which this value was written, seconds

	ToNode       string `json:"to_node,omitempty"`       // of that change: the node that has the agent, where it is not Node
	ClusterOrder uint64 `json:"cluster_order,omitempty"` // of that change

	Evidence  // of that change
	AgentInfo // at that change
}

// AgentState returns the state of the agent after the change.
func (m *StatusChangeMessage) AgentState() AgentState {
	c, s := &m.StatusChange, &m.Security
	return AgentState{AgentID: c.AgentID, AgentName: c.AgentName, IPAddress: c.IPAddress, Status: c.CurrentStatus, Since: c.Timestamp,
		LastSeen: c.LastSeen, Reason: c.Reason, Removed: c.Reason == AgentRemoved, Node: s.Node, Epoch: s.Epoch, Sequence: s.Sequence,
		ToNode: c.ToNode, ClusterOrder: c.ClusterOrder, Evidence: c.Evidence, AgentInfo: c.AgentInfo}
}

// Supersedes reports whether this state replaces an older one.
//
// Of two states by one node, the later message counts. Of two by different nodes, as
// when an agent has moved, the one with the higher ClusterOrder if both have it, which
// depends on no clock. Else the one with the later sign of life: for a lost agent that
// is the last one, not the loss, which the node it left reports long after the agent
// has connected elsewhere. At the same order, or within the same second, an active state
// counts.
func (a *AgentState) Supersedes(old *AgentState) bool {
	if a.Node == old.Node {
		return a.Epoch > old.Epoch || a.Epoch == old.Epoch && a.Sequence > old.Sequence
	}
	if a.ClusterOrder > 0 && old.ClusterOrder > 0 {
		if a.ClusterOrder != old.ClusterOrder {
			return a.ClusterOrder > old.ClusterOrder
		}
	} else if now, before := a.lastSign(), old.lastSign(); now != before {
		return now > before
	}
	return a.Status != Disconnected && old.Status == Disconnected
}

// lastSign returns the Unix time of the agent's last known sign of life.
func (a *AgentState) lastSign() int64 {
	if a.Status == Disconnected && a.LastSeen > 0 {
		return a.LastSeen
	}
	return a.Since
}
