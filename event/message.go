package event

// ContentType is the Content-Type header of a message in the clear.
const ContentType = "application/json"

// Status is an agent's status as messages carry it.
type Status int

// The statuses, by Wazuh's names.
const (
	Active         Status = 0
	Disconnected   Status = 1
	Pending        Status = 2 // it introduced itself; its first keep-alive is awaited
	NeverConnected Status = 3
)

// The types of keep-alive event.
const (
	KeepAliveSent         = "keepalive_sent"         // the manager sent one to the agent
	KeepAliveAcknowledged = "keepalive_acknowledged" // the agent answered it
	KeepAliveFailed       = "keepalive_failed"       // it could not be sent, or no answer came in time
)

// The reasons of a status change.
const (
	Startup          = "startup"           // the agent introduced itself
	Connected        = "connected"         // it was seen active for the first time
	Reconnected      = "reconnected"       // it is back
	KeepAliveTimeout = "keepalive_timeout" // no sign of life for a whole timeout
	MissedKeepAlives = "missed_keepalives" // too many unanswered keep-alives in a row
	ConnectionLost   = "connection_lost"   // its connection closed and it did not come back
	AgentShutdown    = "agent_shutdown"    // it said that it stops
	AgentRemoved     = "agent_removed"     // it is no longer registered
	AgentMoved       = "agent_moved"       // it reports to another node of the cluster, which watches it from now on
)

// KeepAliveMessage is published for every keep-alive and for what became of it.
type KeepAliveMessage struct {
	Event    KeepAlive `json:"event"`
	Security Security  `json:"security"`
}

// KeepAlive is the body of a KeepAliveMessage.
type KeepAlive struct {
	AgentID     string   `json:"agent_id"`   // decimal, three digits or more
	AgentName   string   `json:"agent_name"` // as registered
	IPAddress   string   `json:"ip_address"` // where the agent is; what it is registered under while unknown ("any", a network)
	Timestamp   int64    `json:"timestamp"`  // Unix time, seconds
	EventType   string   `json:"event_type"`
	ManagerNode string   `json:"manager_node"`
	Interval    int64    `json:"interval"`                    // between keep-alives to this agent: seconds, rounded up
	RTT         *float64 `json:"rtt_ms,omitempty"`            // of keepalive_acknowledged: milliseconds until the answer
	Missed      *int     `json:"missed_keepalives,omitempty"` // of keepalive_failed: unanswered ones in a row
	Error       string   `json:"error,omitempty"`             // of keepalive_failed: why it could not be sent
}

// StatusChangeMessage is published for every change of an agent's status, and
// again on an alerts subject if its level is high.
type StatusChangeMessage struct {
	StatusChange StatusChange `json:"status_change"`
	Security     Security     `json:"security"`
}

// StatusChange is the body of a StatusChangeMessage.
type StatusChange struct {
	AgentID          string `json:"agent_id"`
	AgentName        string `json:"agent_name"`
	PreviousStatus   Status `json:"previous_status"`
	CurrentStatus    Status `json:"current_status"`
	IPAddress        string `json:"ip_address"`
	Timestamp        int64  `json:"timestamp"` // Unix time of the change, seconds
	Reason           string `json:"reason"`
	MissedKeepAlives int    `json:"missed_keepalives"`   // unanswered in a row at that time
	AlertLevel       int    `json:"alert_level"`         // Wazuh's scale, 0 to 15; see AlertLevel
	LastSeen         int64  `json:"last_seen,omitempty"` // Unix time of the last sign of life, seconds; absent if there was none
	Outage           bool   `json:"outage,omitempty"`    // a loss that is part of a fleet outage: wait with actions of your own

	OutagePart    string `json:"outage_part,omitempty"`    // while it goes on, of all changes of an agent that was lost in it: the number of FleetOutage in which it counts, connections_closed or fell_silent
	StatusChanges int    `json:"status_changes,omitempty"` // how many changes it stands for, the last of which is in Reason and Timestamp; absent: itself alone
}

// ManagerStatusMessage is the manager's own heartbeat, published every
// [HeartbeatInterval]. When it stays out, nobody watches the agents.
type ManagerStatusMessage struct {
	ManagerStatus ManagerStatus `json:"manager_status"`
	Security      Security      `json:"security"`
}

// ManagerStatus is the body of a ManagerStatusMessage.
type ManagerStatus struct {
	ManagerNode string      `json:"manager_node"`
	Timestamp   int64       `json:"timestamp"`  // Unix time, seconds
	StartedAt   int64       `json:"started_at"` // Unix time at which this life of the node began, seconds
	Interval    int64       `json:"interval"`   // between two of these messages, seconds
	Agents      AgentCounts `json:"agents"`

	Uptime           int64     `json:"uptime"`            // seconds since StartedAt
	State            string    `json:"state"`             // NodeRunning or NodeStopping
	OutboxDepth      uint64    `json:"outbox_depth"`      // messages that wait to be forwarded to the XDR's NATS
	DeadLetters      uint64    `json:"dead_letters"`      // messages that the XDR's NATS refused, set aside
	TelemetryDropped uint64    `json:"telemetry_dropped"` // keep-alive events that were lost since StartedAt, for want of room
	Link             LinkState `json:"link"`
	NATS             NATSState `json:"nats"`

	Audit *AuditState `json:"audit,omitempty"` // absent without an audit log

	Conditions []string `json:"conditions,omitempty"` // the codes of what is wrong with the node now; absent if nothing is
}

// The states of a node.
const (
	NodeRunning  = "running"
	NodeStopping = "stopping" // it ends in order: this is its last message
)

// The kinds of link.
const (
	LinkListen = "listen" // Pulse is the agents' manager
	LinkAttach = "attach" // a stock manager is, on the same host
)

// LinkState is the node's way to the agents.
type LinkState struct {
	Kind        string `json:"kind"`              // LinkListen or LinkAttach
	Connections int64  `json:"connections"`       // open TCP connections of agents
	Agents      int    `json:"agents"`            // listen: agents with a connection, or a UDP address; attach: those that the manager calls active
	Problem     string `json:"problem,omitempty"` // why the agents cannot be reached, or heard of; absent while they can
}

// The states of a node's way to the XDR's NATS.
const (
	NATSEmbedded    = "embedded"    // there is none: clients connect to the node itself
	NATSConnected   = "connected"   // it is there and takes messages
	NATSConnecting  = "connecting"  // it is tried
	NATSUnavailable = "unavailable" // it failed max_reconnects times in a row, and is tried on
)

// NATSState is the node's way to the XDR's NATS.
type NATSState struct {
	State string `json:"state"`
	Since int64  `json:"since"` // Unix time, seconds
}

// The states of a node's audit log.
const (
	AuditWriting = "writing"
	AuditFailing = "failing" // it cannot be written: the disk is full, or broken
)

// AuditState is how a node's audit log is doing. Who keeps Seq and Hash can tell later
// whether all lines up to there are still what they were.
type AuditState struct {
	State   string `json:"state"`
	Seq     uint64 `json:"seq"`     // number of the last line on the disk
	Hash    string `json:"hash"`    // its SHA-256, base64url
	Missing uint64 `json:"missing"` // lines that could not be kept since StartedAt
}

// AgentCounts is the number of agents in each status.
type AgentCounts struct {
	Active         int `json:"active"`
	Disconnected   int `json:"disconnected"`
	Pending        int `json:"pending"`
	NeverConnected int `json:"never_connected"`
}
