package daemon

import (
	"context"
	"net/netip"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// link is the way to the agents. Whoever makes one gives it the detector to
// report to: it brings the inventory too, and knows where that comes from.
type link interface {
	// KeepAlive sends an agent the keep-alive with a token. It does not wait for
	// the agent, nor for anything else.
	KeepAlive(id detector.AgentID, token uint32) error
	// Heed hears of everything that is decided about agents and is no routine. It
	// does not wait either.
	Heed(d *detector.Decision)
	// Run gives the detector its agents, and reports what it sees of them until
	// ctx ends.
	Run(ctx context.Context)
	// Close closes what is open of a link that did not run.
	Close()
	// Addr is where agents come to us; not valid where they do not.
	Addr() netip.AddrPort
	Status() Link
}

// Link is how the way to the agents is doing.
type Link struct {
	Kind string `json:"kind"`
	*listen.Stats
}

// state is what the heartbeat tells of it.
func (l *Link) state() event.LinkState {
	s := event.LinkState{Kind: l.Kind}
	if l.Stats != nil { // not with NATS alone, as in a measurement
		s.Connections, s.Agents = l.Connections, l.Agents
	}
	return s
}
