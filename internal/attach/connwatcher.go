package attach

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
)

// maxAgentsAtAddr is how many agents may have one address to be all probed when a
// connection from there ends. Of a router that hides many more, the agents are found by
// their silence.
const maxAgentsAtAddr = 256

// connWatcher watches for the ends of agents' connections, and in a cluster for new ones.
type connWatcher struct {
	tcp    *tcpclose.Watcher
	ports  *portSet
	index  *agentIndex
	fleet  Fleet
	events eventQueue
	opens  bool // watch for new connections

	closed, unmatched atomic.Int64
}

// runWatcher watches until ctx ends.
func (w *connWatcher) runWatcher(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	if w.opens {
		work.Go(func() {
			w.tcp.WatchOpened(ctx, w.ports.containsPort, func(n int) { w.events.sendEvent(ctx, connOpened{n}) })
		})
	}
	w.tcp.Run(ctx, w.ports.containsPort, func(remote netip.AddrPort) { w.handleClosedConn(ctx, remote) })
}

// handleClosedConn sends the agents whose connection from remote may have ended. Where
// several have its address, it was none of those that are away: each probe of one would
// be an error in remoted's log. Nor was it one of the passive, which keep none.
func (w *connWatcher) handleClosedConn(ctx context.Context, remote netip.AddrPort) {
	w.closed.Add(1)
	ids := w.index.agentsAt(remote.Addr().Unmap())
	if len(ids) == 0 || len(ids) > maxAgentsAtAddr {
		w.unmatched.Add(1)
		return
	}
	var connected []detector.AgentID
	for _, id := range ids {
		if !w.index.isPassive(id) && (len(ids) == 1 || !w.isDisconnected(id)) {
			connected = append(connected, id)
		}
	}
	if len(connected) > 0 {
		w.events.sendEvent(ctx, connClosed{connected})
	}
}

func (w *connWatcher) isDisconnected(id detector.AgentID) bool {
	now, ok := w.fleet.Agent(id)
	return ok && now.Status == detector.Disconnected
}
