package view

import (
	"encoding/json"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// Health is what is wrong with the node: nothing, when it is well.
type Health struct {
	Failures []string `json:"failures"` // it does not do its work
	Warnings []string `json:"warnings"` // it does, and somebody should look
}

// MarshalJSON writes empty lists as such.
func (h Health) MarshalJSON() ([]byte, error) {
	type lists Health
	return json.Marshal(lists{append([]string{}, h.Failures...), append([]string{}, h.Warnings...)})
}

// Summary is how the fleet and the node are, in short.
type Summary struct {
	At       time.Time         `json:"at"`
	Agents   event.AgentCounts `json:"agents"`
	Outage   *Outage           `json:"outage"` // null: there is none
	Health   Health            `json:"health"`
	Node     any               `json:"node"` // what /api/v1/status shows
	Sequence uint64            `json:"sequence"`
	Point    Point             `json:"point"` // the last of the series

	Cluster *NodeList `json:"cluster,omitempty"` // absent outside a cluster

	SilencesActive int `json:"silences_active"`
	AgentsSilenced int `json:"agents_silenced"`
}

// Point is the node at a moment.
type Point struct {
	At     time.Time         `json:"at"`
	Agents event.AgentCounts `json:"agents"`
	Depth  uint64            `json:"outbox_depth"`
	Late   float64           `json:"sweep_late_ms"` // 99 % of the sweeps since the point before were no later
}

// Changes are the last events, as /api/v1/changes has them.
type Changes struct {
	Node   string  `json:"node"`
	Last   string  `json:"last_event_id"` // what to follow the events from
	Events []Event `json:"events"`        // newest first
}
