package ownership

import (
	"fmt"
	"net/netip"
)

// AgentID is the number of an agent, the same on all nodes.
type AgentID uint32

// String returns the agent's number as Wazuh writes it, with three digits or more.
func (id AgentID) String() string { return fmt.Sprintf("%03d", uint32(id)) }

// Stamp numbers the records of one node: epoch is one run of its Pulse. A record whose
// stamp is not above that of the node's record before it is a replay.
type Stamp struct{ Epoch, Number uint64 }

func (s Stamp) after(o Stamp) bool {
	return s.Epoch > o.Epoch || s.Epoch == o.Epoch && s.Number > o.Number
}

// Reason is why an agent has left a node.
type Reason uint8

// The reasons.
const (
	Here       Reason = iota // it has not left
	Lost                     // given up: silent, or its connection has ended
	Stopped                  // it said goodbye
	Moved                    // another node has claimed it
	Removed                  // it is no agent any more
	reasonsEnd               // keep last
)

var reasonNames = [reasonsEnd]string{"here", "lost", "stopped", "moved", "removed"}

func (r Reason) String() string {
	if r >= reasonsEnd {
		return "unknown"
	}
	return reasonNames[r]
}

func parseReason(s string) (Reason, bool) {
	for r, name := range reasonNames {
		if s == name {
			return Reason(r), true
		}
	}
	return 0, false
}

// Claim is what a node knows of one agent.
type Claim struct {
	Agent  AgentID
	Reason Reason // Here, or why it has left
	With   string // of Lost: the node, lost itself, that had it; "" if it was lost on the node whose claim this is
	Since  uint32 // Unix time at which it came or left, by the node's clock, for people only
	Sign   uint32 // Unix time of its last sign of life, as Since
	// From and Seen are orders of the stream: all records up to From were stored before
	// the agent came to the node, all up to Seen before its last sign of life.
	From, Seen uint64
	Addr       netip.Addr // of the agent; zero for not known
}

// Role is what a node's manager is in its Wazuh cluster.
type Role uint8

// The roles.
const (
	Alone    Role = iota // no Wazuh cluster, or not known
	Master               // writes to the manager's database and raises alerts for all
	Worker               // of a Wazuh cluster
	Listener             // no Wazuh manager: agents connect to Pulse
	rolesEnd             // keep last
)

var roleNames = [rolesEnd]string{"alone", "master", "worker", "listener"}

func (r Role) String() string {
	if r >= rolesEnd {
		return "unknown"
	}
	return roleNames[r]
}

func parseRole(s string) (Role, bool) {
	for r, name := range roleNames {
		if s == name {
			return Role(r), true
		}
	}
	return 0, false
}

// Beat is a node's sign of life.
type Beat struct {
	Started uint32 // Unix time of the start of its Pulse, for people only
	Role    Role
	Version string // of Pulse, one word
	Agents  uint32 // that it has now
	// Back is the order of the last verdict about this node whose return it has announced.
	Back uint64
	// Told has the losses of nodes that it has announced.
	Told []Verdict
}

// Verdict states that a node was silent after the beat with an order.
type Verdict struct {
	Node string
	Beat uint64
}
