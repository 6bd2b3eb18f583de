package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// attached is the link to a stock manager on this host, with its database for
// the inventory.
type attached struct{ *attach.Link }

func openAttached(cfg *config.Config, method detector.Method, clock *detector.Clock, to *detector.Detector, log *slog.Logger) (link, error) {
	place, cautions, err := place(cfg)
	if err != nil {
		return nil, err
	}
	for _, text := range cautions {
		log.Warn("pulse does not follow all of the manager's ossec.conf", "home", cfg.Pulse.Home, "caution", text)
	}
	l, err := attach.Open(attach.Config{Home: cfg.Pulse.Home, Cluster: place, Method: method, MaxInFlight: cfg.Pulse.MaxInFlight,
		Grace: cfg.KeepAlive.ReconnectGrace, Timeout: cfg.KeepAlive.Timeout, UpdateStatus: cfg.Pulse.UpdateStatus,
		Clock: clock, Fleet: to, Log: log})
	if err != nil {
		return nil, fmt.Errorf("attach to the manager in %s: %w", cfg.Pulse.Home, err)
	}
	return &attached{l}, nil
}

// place is the manager's in its cluster, as its own settings say, and what they have
// that Pulse does not follow.
func place(cfg *config.Config) (_ wazuhdb.ClusterRole, cautions []string, _ error) {
	if err := attach.CheckHome(cfg.Pulse.Home); err != nil {
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager: %w", err)
	}
	manager, err := config.ReadManager(cfg.Pulse.Home)
	if err != nil {
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager in %s (<pulse><home>): %w", cfg.Pulse.Home, err)
	}
	if !manager.Clustered {
		return wazuhdb.ClusterRole{}, manager.Cautions, nil
	}
	if manager.NodeName == "" {
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager in %s: its <cluster> has no <node_name>", cfg.Pulse.Home)
	}
	return wazuhdb.ClusterRole{Node: manager.NodeName, Worker: manager.Worker}, manager.Cautions, nil
}

// Addr is not valid: agents connect to the manager.
func (a *attached) Addr() netip.AddrPort { return netip.AddrPort{} }

func (a *attached) Status() Link {
	stats, list := a.Stats(), a.Vanished()
	return Link{Kind: event.LinkAttach, Attach: &stats, Inventory: &Inventory{Agents: list.Agents, Held: list.Held, Until: list.Until.UTC()}}
}
