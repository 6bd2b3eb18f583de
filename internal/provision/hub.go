package provision

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Where the server's files and streams are on the host of the node whose Pulse runs it,
// unless others are given.
const (
	hubDir      = nodeHome + "/pulse-nats-server"
	hubStoreDir = "/var/lib/pulse/nats"
)

// hubConfigPath returns the server's configuration on the host of the node whose Pulse runs
// it; "" if none does.
func (cfg *Config) hubConfigPath() string {
	if cfg.Hub == "" {
		return ""
	}
	return filepath.Join(cfg.ServerDir, filepath.Base(serverConf))
}

// hubSettings returns the elements of a node's settings about the node whose Pulse runs the
// server.
func (s *state) hubSettings(node string) string {
	if s.Hub == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n    <server_node>%s</server_node>", s.Hub)
	if node == s.Hub {
		fmt.Fprintf(&b, "\n    <server_config>%s</server_config>", s.HubConfig)
	}
	return b.String()
}
