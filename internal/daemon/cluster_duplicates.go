package daemon

import "github.com/wazuh-pulse/pulse/internal/ownership"

// handleDuplicate handles that two machines have one agent's key.
func (c *clusterPart) handleDuplicate(ownership.Event) {}
