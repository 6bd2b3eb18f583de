package daemon

import "github.com/wazuh-pulse/pulse/internal/ownership"

// handleClaimForMaster withdraws the loss that the master's node is to write of an agent
// that a node has now.
func (c *clusterPart) handleClaimForMaster(ownership.Event) {}

// handleDepartureForMaster has the master's node write the loss of an agent of another node.
func (c *clusterPart) handleDepartureForMaster(ownership.Event) {}
