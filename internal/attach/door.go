package attach

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
)

// crowd is how many agents may be behind one address to be all asked when a
// connection from there ends. Behind a router that hides many more, an agent's
// silence has to tell.
const crowd = 256

// door sees the ends of agents' connections, and has the agents behind them asked.
type door struct {
	serves func(port uint16) bool
	behind func(netip.Addr) []detector.AgentID
	away   func(detector.AgentID) bool // an agent is known to be
	check  func(detector.AgentID)
	tcp    *tcpclose.Watcher

	closed, unmatched atomic.Int64
}

// run watches until ctx ends.
func (d *door) run(ctx context.Context) { d.tcp.Run(ctx, d.serves, d.left) }

// left has the agents behind the far end of a connection asked. Where there are
// several, it was none of those that are away: to ask them is an error in remoted's log for each.
func (d *door) left(far netip.AddrPort) {
	d.closed.Add(1)
	ids := d.behind(far.Addr().Unmap())
	if len(ids) == 0 || len(ids) > crowd {
		d.unmatched.Add(1)
		return
	}
	for _, id := range ids {
		if len(ids) == 1 || !d.away(id) {
			d.check(id)
		}
	}
}
