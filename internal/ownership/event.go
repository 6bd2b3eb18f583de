package ownership

import "net/netip"

// EventKind is the kind of an [Event].
type EventKind uint8

// The kinds of events.
const (
	// Claimed: Node has the agent now, and Other had it before ("" for none).
	Claimed EventKind = iota + 1
	// Departed: the agent has left Node for Reason, and no living node has it.
	Departed
	// Duplicated: the agent is on Node and on Other at the same time, with signs of life
	// on both: two machines have one key. Addr and OtherAddr are theirs.
	Duplicated
	// Unproven: Node, which is this one, claims the agent, and Other's sign of life is
	// not older: a new sign of life is needed.
	Unproven
	// NodeSilent: this node has had no beat of Node for long enough, and is to store a verdict.
	NodeSilent
	// NodeLost: Node is lost. Of all nodes, one gets the event with Announce.
	NodeLost
	// NodeBack: there is a beat of Node, which was lost. Node itself announces it: see [State.Return].
	NodeBack
	// DeclaredLost: Node has recorded that the agent is lost with Other, which is this node,
	// and it is here. This node claims it again.
	DeclaredLost
	// Misdeclared: this node has recorded that the agent is lost with a node, and Node had
	// claimed it before it could know that.
	Misdeclared
	// Overtaken: the agent was on this node when the run before this one ended, and Other has
	// had it since, and may have lost it.
	Overtaken
	// BackUnread: the agent was on this node, Other, when the run before this one ended, and Node
	// has had it since. It was here again before that was read: nothing says so yet.
	BackUnread
	// Returned: Other found this node silent, by the verdict Order, and it is to announce
	// its return: see [Member.ConfirmReturn].
	Returned
)

// Event is what a record has changed.
type Event struct {
	Kind            EventKind
	Order           uint64 // of the record
	Agent           AgentID
	Node, Other     string
	Reason          Reason
	Addr, OtherAddr netip.Addr
	Beat            uint64 // of NodeSilent, NodeLost and Returned: the order of the last beat before the silence
	Announce        bool   // of NodeLost
}

// Owner is where an agent is.
type Owner struct {
	Node   string
	Reason Reason // Here, or why it has left the node
	Lost   bool   // the node is lost
	With   string // of an agent that was lost with another node: that node
	Since  uint32 // Unix time by the node's clock
	Sign   uint32 // Unix time by the node's clock
	From   uint64 // the order before the agent came to the node
	Seen   uint64 // the order before its last sign of life that is known
	Order  uint64 // of the claim
	Addr   netip.Addr
}
