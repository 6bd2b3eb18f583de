package daemon

import (
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// Status is how a node is doing, as the console's /api/status shows it. Counts
// are since the node started.
type Status struct {
	Node      string            `json:"node"`
	Version   string            `json:"version"`
	Epoch     uint64            `json:"epoch"`
	StartedAt time.Time         `json:"started_at"`
	Agents    event.AgentCounts `json:"agents"`
	Link      listen.Stats      `json:"link"`
	Outbox    *outbox.Stats     `json:"outbox,omitempty"` // absent with NATS disabled
}

// Status returns how the node is doing now.
func (n *Node) Status() Status {
	w := n.out.recorder.writer
	s := Status{Node: w.source.Node, Version: w.source.Version, Epoch: w.source.Epoch, StartedAt: w.started.UTC(),
		Agents: agentCounts(n.detector.Counts()), Link: n.link.Stats()}
	if n.out.outbox != nil {
		stats := n.out.outbox.Stats()
		s.Outbox = &stats
	}
	return s
}
