package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// link is the way to the agents. Whoever makes one gives it the detector to
// report to: it brings the inventory too, and knows where that comes from.
type link interface {
	// KeepAlive sends an agent the keep-alive with a token. It does not wait for
	// the agent, nor for anything else.
	KeepAlive(id detector.AgentID, token uint32) error
	// OnDecision hears of everything that is decided about agents and is no routine. It
	// does not wait either.
	OnDecision(d *detector.Decision)
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
	Kind          event.LinkKind `json:"kind"`
	*listen.Stats                // only if Pulse is the agents' manager
	Attach        *attach.Stats  `json:"attach,omitempty"`    // only if a stock manager is
	Inventory     *Inventory     `json:"inventory,omitempty"` // the list of agents
}

// openLink opens the way to the agents that the settings say. With auto, a
// manager that lives on this host is attached to, and only without one Pulse takes
// its place.
func openLink(cfg *config.Config, method detector.Method, clock *detector.Clock, to *detector.Detector, audit *audittrail.Trail, log *slog.Logger) (link, error) {
	attaches, err := Attaches(cfg)
	if err != nil {
		return nil, fmt.Errorf("find out whether a manager lives in %s (<pulse><link> is auto): %w", cfg.Pulse.Home, err)
	}
	if attaches {
		return openAttached(cfg, method, clock, to, log)
	}
	return openListening(cfg, method, clock, to, audit, log)
}

// state is what the heartbeat tells of it.
func (l *Link) state() event.LinkState {
	s := event.LinkState{Kind: l.Kind}
	switch {
	case l.Stats != nil:
		s.Connections, s.Agents = l.Connections, l.Agents
	case l.Attach != nil:
		s.Connections, s.Agents, s.Problem = l.Attach.Connections, int(l.Attach.Agents), l.Attach.Problem
	}
	return s
}
