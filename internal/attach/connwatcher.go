package attach

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
)

// maxAgentsAtAddr is how many agents may be behind one address to be all asked when a
// connection from there ends. Behind a router that hides many more, an agent's
// silence has to tell.
const maxAgentsAtAddr = 256

// connWatcher sees the ends of agents' connections, and has the agents behind them asked.
type connWatcher struct {
	isAgentPort    func(port uint16) bool
	agentsAt       func(netip.Addr) []detector.AgentID
	isDisconnected func(detector.AgentID) bool // an agent is known to be
	probe          func(detector.AgentID)
	tcp            *tcpclose.Watcher

	closed, unmatched atomic.Int64
}

// runWatcher watches until ctx ends.
func (d *connWatcher) runWatcher(ctx context.Context) { d.tcp.Run(ctx, d.isAgentPort, d.handleClosed) }

// handleClosed has the agents behind the far end of a connection asked. Where there are
// several, it was none of those that are away: to ask them is an error in remoted's log for each.
func (d *connWatcher) handleClosed(far netip.AddrPort) {
	d.closed.Add(1)
	ids := d.agentsAt(far.Addr().Unmap())
	if len(ids) == 0 || len(ids) > maxAgentsAtAddr {
		d.unmatched.Add(1)
		return
	}
	for _, id := range ids {
		if len(ids) == 1 || !d.isDisconnected(id) {
			d.probe(id)
		}
	}
}
