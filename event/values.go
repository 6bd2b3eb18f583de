package event

import "fmt"

// Status is an agent's status as messages carry it.
type Status int

// The statuses.
const (
	Active         Status = 0
	Disconnected   Status = 1
	Pending        Status = 2 // it introduced itself; its first keep-alive is awaited
	NeverConnected Status = 3
)

var statusNames = [...]string{"active", "disconnected", "pending", "never_connected"}

// Valid reports whether this version of the package defines the status.
func (s Status) Valid() bool { return s >= 0 && int(s) < len(statusNames) }

// String returns Wazuh's name of the status.
func (s Status) String() string {
	if !s.Valid() {
		return fmt.Sprintf("status %d", int(s))
	}
	return statusNames[s]
}

// ParseStatus returns the status of a name, and false if it is none.
func ParseStatus(name string) (Status, bool) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), true
		}
	}
	return 0, false
}

// EventType is the type of a keep-alive event.
type EventType string

// The types of keep-alive event.
const (
	KeepAliveSent         EventType = "keepalive_sent"         // the manager sent one to the agent
	KeepAliveAcknowledged EventType = "keepalive_acknowledged" // the agent answered it
	KeepAliveFailed       EventType = "keepalive_failed"       // it could not be sent, or no answer came in time
)

// Reason is the reason of a status change.
type Reason string

// The reasons of a status change.
const (
	Startup          Reason = "startup"           // the agent introduced itself
	Connected        Reason = "connected"         // it was seen active for the first time
	Reconnected      Reason = "reconnected"       // it is back
	KeepAliveTimeout Reason = "keepalive_timeout" // no sign of life for a whole timeout
	MissedKeepAlives Reason = "missed_keepalives" // too many unanswered keep-alives in a row
	ConnectionLost   Reason = "connection_lost"   // its connection closed and it did not come back
	AgentShutdown    Reason = "agent_shutdown"    // it announced that it stops
	AgentRemoved     Reason = "agent_removed"     // it is no longer registered
	NodeLost         Reason = "node_lost"         // the node that had it is lost, and no other has it
	AgentMoved       Reason = "agent_moved"       // it reports to another node of the cluster, which watches it from now on
)

// State is the state of a node, or of a part of it.
type State string

// The states of a node.
const (
	NodeRunning  State = "running"
	NodeStopping State = "stopping" // it ends in order: this is its last message
)

// The states of a node's connection to the XDR's NATS.
const (
	NATSEmbedded    State = "embedded"    // there is none: clients connect to the node itself
	NATSConnected   State = "connected"   // the server accepts messages
	NATSConnecting  State = "connecting"  // it is being tried
	NATSUnavailable State = "unavailable" // it failed max_reconnects times in a row, and is still being tried
)

// The states of a node's audit log.
const (
	AuditWriting State = "writing"
	AuditFailing State = "failing" // it cannot be written: the disk is full, or broken
)

// The states of a node's condition.
const (
	ConditionBegan State = "began"
	ConditionEnded State = "ended"
)

// ManagerState is whether a node's Wazuh manager works.
type ManagerState string

// The states of a node's Wazuh manager.
const (
	ManagerAlive   ManagerState = "alive"   // it works: its agents are not lost, and seen more coarsely, through the master's database
	ManagerSilent  ManagerState = "silent"  // it is gone too
	ManagerUnknown ManagerState = "unknown" // it is not known, or there is none
)

// LinkKind is how a node reaches the agents.
type LinkKind string

// The kinds of link.
const (
	LinkListen LinkKind = "listen" // Pulse is the agents' manager
	LinkAttach LinkKind = "attach" // a stock manager is, on the same host
)
