package daemon

import "github.com/wazuh-pulse/pulse/internal/ownership"

// handleConnection handles that this node is cut off from the shared view, or not any more.
func (c *clusterPart) handleConnection(bool) {}

// handleNodeLost handles that another node is lost.
func (c *clusterPart) handleNodeLost(ownership.Event) {}

// handleNodeBack handles that a node that was lost lives.
func (c *clusterPart) handleNodeBack(ownership.Event) {}

// handleReturn handles that other nodes had found this one lost.
func (c *clusterPart) handleReturn(ownership.Event) {}
