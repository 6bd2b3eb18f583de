package daemon

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Attaches reports whether a node with these settings has a stock manager's agents.
func Attaches(cfg *config.Config) (bool, error) {
	if cfg.Pulse.Link != "auto" {
		return cfg.Pulse.Link == "attach", nil
	}
	return attach.IsInstalled(cfg.Pulse.Home)
}

// ExamineManager tries the sockets of the manager that a node would attach to.
func ExamineManager(ctx context.Context, cfg *config.Config) ([]attach.SocketCheck, error) {
	method, err := detector.ParseMethod(cfg.KeepAlive.Method)
	if err != nil {
		return nil, err
	}
	place, _, err := place(cfg)
	if err != nil {
		return nil, err
	}
	return attach.CheckSockets(ctx, attach.Config{Home: cfg.Pulse.Home, Cluster: place, Method: method, UpdateStatus: cfg.Pulse.UpdateStatus}), nil
}
