package daemon

import "github.com/wazuh-pulse/pulse/internal/ownership"

// handleClaim handles that a node has an agent now.
func (c *clusterPart) handleClaim(ownership.Event) {}

// proveAgent asks an agent for a sign of life that this node and another one claim.
func (c *clusterPart) proveAgent(ownership.Event) {}
