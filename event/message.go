package event

import "strconv"

// ContentType is the Content-Type header of a message in the clear.
const ContentType = "application/json"

// KeepAliveMessage is published for every keep-alive and for its outcome.
type KeepAliveMessage struct {
	Event    KeepAlive `json:"event"`
	Security Security  `json:"security"`
}

// KeepAlive is the body of a KeepAliveMessage.
type KeepAlive struct {
	AgentID     string    `json:"agent_id"`   // decimal, three digits or more
	AgentName   string    `json:"agent_name"` // as registered
	IPAddress   string    `json:"ip_address"` // where the agent is; what it is registered under while unknown ("any", a network)
	Timestamp   int64     `json:"timestamp"`  // Unix time, seconds
	EventType   EventType `json:"event_type"`
	ManagerNode string    `json:"manager_node"`
	Interval    int64     `json:"interval"`                    // between keep-alives to this agent: seconds, rounded up
	RTT         *float64  `json:"rtt_ms,omitempty"`            // of keepalive_acknowledged: milliseconds until the answer
	Missed      *int      `json:"missed_keepalives,omitempty"` // of keepalive_failed: unanswered ones in a row
	Error       string    `json:"error,omitempty"`             // of keepalive_failed: why it could not be sent
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
	Reason           Reason `json:"reason"`
	MissedKeepAlives int    `json:"missed_keepalives"`   // unanswered in a row at that time
	AlertLevel       int    `json:"alert_level"`         // Wazuh's scale, 0 to 15
	LastSeen         int64  `json:"last_seen,omitempty"` // Unix time of the last sign of life, seconds; absent if there was none
	Outage           bool   `json:"outage,omitempty"`    // a loss that is part of a fleet outage: wait with actions of your own

	OutagePart    string `json:"outage_part,omitempty"`    // while it goes on, of all changes of an agent that was lost in it: the number of FleetOutage in which it counts, connections_closed or fell_silent
	StatusChanges int    `json:"status_changes,omitempty"` // how many changes it stands for, the last of which is in Reason and Timestamp; absent: itself alone

	Evidence
	AwayFor  int64 `json:"away_for,omitempty"` // of an alert that is repeated, because the agent stays away: seconds since the loss
	Silenced bool  `json:"silenced,omitempty"` // a silence is in effect for the agent: its alerts wait for the end of it

	FromNode     string `json:"from_node,omitempty"`     // the node of the cluster that had the agent before
	ToNode       string `json:"to_node,omitempty"`       // the node that has it now, where that is not the node of the message
	ClusterOrder uint64 `json:"cluster_order,omitempty"` // how much of what the cluster's nodes share was stored when what it says became true; of messages of two nodes about an agent, the one with the higher number is later

	AgentInfo
}

// ManagerStatusMessage is the manager's own heartbeat, published every
// [HeartbeatInterval]. While none arrive, nobody watches the agents.
type ManagerStatusMessage struct {
	ManagerStatus ManagerStatus `json:"manager_status"`
	Security      Security      `json:"security"`
}

// ManagerStatus is the body of a ManagerStatusMessage.
type ManagerStatus struct {
	ManagerNode string      `json:"manager_node"`
	Timestamp   int64       `json:"timestamp"`  // Unix time, seconds
	StartedAt   int64       `json:"started_at"` // Unix time at which the node started, seconds
	Interval    int64       `json:"interval"`   // between two of these messages, seconds
	Agents      AgentCounts `json:"agents"`

	Uptime           int64     `json:"uptime"`            // seconds since StartedAt
	State            State     `json:"state"`             // NodeRunning or NodeStopping
	OutboxDepth      uint64    `json:"outbox_depth"`      // messages that wait to be forwarded to the XDR's NATS
	DeadLetters      uint64    `json:"dead_letters"`      // messages that the XDR's NATS refused, set aside
	TelemetryDropped uint64    `json:"telemetry_dropped"` // keep-alive events that were lost since StartedAt, because a queue was full
	Link             LinkState `json:"link"`
	NATS             NATSState `json:"nats"`

	Audit *AuditState `json:"audit,omitempty"` // absent without an audit log

	Conditions []string `json:"conditions,omitempty"` // the codes of the node's present conditions; absent if there are none
}

// LinkState is the state of the node's connections to the agents.
type LinkState struct {
	Kind        LinkKind `json:"kind"`              // LinkListen or LinkAttach
	Connections int64    `json:"connections"`       // open TCP connections of agents
	Agents      int      `json:"agents"`            // listen: agents with a connection, or a UDP address; attach: those that the manager calls active
	Problem     string   `json:"problem,omitempty"` // why agents cannot be reached or watched; absent while they can
}

// NATSState is the state of the node's connection to the XDR's NATS.
type NATSState struct {
	State State `json:"state"`
	Since int64 `json:"since"` // Unix time, seconds
}

// AuditState is the state of a node's audit log. A reader that keeps Seq and Hash can
// verify later that no line up to there has been changed.
type AuditState struct {
	State   State  `json:"state"`
	Seq     uint64 `json:"seq"`     // number of the last line on the disk
	Hash    string `json:"hash"`    // its SHA-256, base64url
	Missing uint64 `json:"missing"` // lines that could not be kept since StartedAt
}

// AgentCounts is the number of agents in each status. The dormant are disconnected too.
type AgentCounts struct {
	Active         int `json:"active"`
	Disconnected   int `json:"disconnected"`
	Pending        int `json:"pending"`
	NeverConnected int `json:"never_connected"`
	Dormant        int `json:"dormant"` // of the disconnected, those that are away for so long that nobody waits for them
}

// Origin is the source of every message.
const Origin = "wazuh-manager"

// Security identifies a message. It is part of the body, so that a signature over
// the body covers it.
type Security struct {
	Source   string `json:"source"`    // always "wazuh-manager"
	Version  string `json:"version"`   // of the software that made the message
	Sequence uint64 `json:"sequence"`  // from 1, rising by one per message of a node and epoch
	Node     string `json:"node"`      // the manager's node name
	Epoch    uint64 `json:"epoch"`     // identifies a run of the node: rises with every start
	IssuedAt int64  `json:"issued_at"` // Unix time at which the message was made, milliseconds
	Subject  string `json:"subject"`   // the NATS subject it was published to
}

// ID returns the message's identifier, unique among the messages of all nodes. The
// Nats-Msg-Id header, by which JetStream drops duplicates, is this, a hyphen, and a
// code that nobody can foresee.
func (s *Security) ID() string {
	return s.Node + "-" + strconv.FormatUint(s.Epoch, 10) + "-" + strconv.FormatUint(s.Sequence, 10)
}
