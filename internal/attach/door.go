package attach

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// crowd is how many agents may be behind one address to be all asked when a
// connection from there ends. Behind a router that hides many more, an agent's
// silence has to tell.
const crowd = 256

// doorPeriod is the time between two looks at the connections, where the
// kernel does not announce their ends.
const doorPeriod = time.Second

// door sees the ends of agents' connections, and has the agents behind them asked.
type door struct {
	serves func(port uint16) bool
	behind func(netip.Addr) []detector.AgentID
	away   func(detector.AgentID) bool // an agent is known to be
	check  func(detector.AgentID)
	files  []string // of /proc/net, with the TCP connections
	polls  bool     // do not ask the kernel for announcements
	log    *slog.Logger

	announced         atomic.Bool // the kernel does
	closed, unmatched atomic.Int64
}

// run watches until ctx ends.
func (d *door) run(ctx context.Context) {
	if !d.polls {
		ends, err := announcements()
		if err == nil {
			d.announced.Store(true)
			d.listen(ctx, ends)
			d.announced.Store(false)
			return
		}
		d.log.Warn("the kernel does not announce the ends of connections: looking every second", "problem", err.Error())
	}
	d.poll(ctx)
}

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

// poll compares the list of connections with the one a second before.
func (d *door) poll(ctx context.Context) {
	tick := time.NewTicker(doorPeriod)
	defer tick.Stop()
	var before map[netip.AddrPort]bool
	failing := false
	for {
		now, err := d.connections()
		switch {
		case err == nil:
			for far := range before {
				if !now[far] {
					d.left(far)
				}
			}
			before, failing = now, false
		case !failing:
			failing = true
			d.log.Error("the agents' connections cannot be read", "problem", err.Error())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
