package event

// FleetOutageMessage is published when a large part of the fleet is lost at
// once, instead of an alert for each agent, and again when most of it is back.
// One of the two parts is set.
type FleetOutageMessage struct {
	Outage    *FleetOutage `json:"fleet_outage,omitempty"`
	Recovered *FleetOutage `json:"fleet_recovered,omitempty"`
	Security  Security     `json:"security"`
}

// FleetOutage describes an outage.
type FleetOutage struct {
	ManagerNode       string    `json:"manager_node"`
	Timestamp         int64     `json:"timestamp"`          // Unix time, seconds
	Since             int64     `json:"since"`              // Unix time of the first loss, seconds
	AgentsWatched     int       `json:"agents_watched"`     // active or pending before
	AgentsLost        int       `json:"agents_lost"`        // of these, lost so far
	ConnectionsClosed int       `json:"connections_closed"` // of the lost, those whose connection closed
	FellSilent        int       `json:"fell_silent"`        // of the lost, those that only fell silent: if all, look at the manager's own network first
	AgentsBack        int       `json:"agents_back"`        // of the lost, back by now
	Networks          []Network `json:"networks"`           // where those still away are, most first, 16 at most
	AlertLevel        int       `json:"alert_level"`

	HostsProbed   int `json:"hosts_probed,omitempty"`   // of the lost, a sample whose hosts were asked for a sign of life
	HostsAnswered int `json:"hosts_answered,omitempty"` // of the sample: if they answer, look at the agents; if they are silent, at the network
}

// Network is a part of an outage.
type Network struct {
	Network string `json:"network"` // a /24 of IPv4 or a /64 of IPv6
	Agents  int    `json:"agents"`  // lost there and not back
}

// AgentFlappingMessage is published when an agent's status changes too often.
// Its own alerts are held until it has been stable for the window.
type AgentFlappingMessage struct {
	Flapping AgentFlapping `json:"agent_flapping"`
	Security Security      `json:"security"`
}

// AgentFlapping is the body of an AgentFlappingMessage.
type AgentFlapping struct {
	AgentID       string `json:"agent_id"`
	AgentName     string `json:"agent_name"`
	IPAddress     string `json:"ip_address"`
	Timestamp     int64  `json:"timestamp"`      // Unix time of the latest change, seconds
	StatusChanges int    `json:"status_changes"` // within the window
	Window        int64  `json:"window"`         // seconds
	AlertLevel    int    `json:"alert_level"`
}

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
