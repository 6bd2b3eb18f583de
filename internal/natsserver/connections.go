package natsserver

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/connlimit"
	"golang.org/x/time/rate"
)

// connectionsPerClient is how many connections one address may have.
const connectionsPerClient = connectionsMax / 2

// LimitConnections closes connections of readers that are too many, until ctx ends: those
// on which nothing was sent or received for longest, of the client with too many, or else
// with the most. The server takes some more than there may be, so that one more reader
// always gets in.
func (s *Server) LimitConnections(ctx context.Context) {
	w := connectionWatch{running: s.running, few: connectionsPerClient, list: server.ConnzOptions{Limit: 2 * connectionsTaken}, findExcess: func(list *server.Connz) []readerConn {
		return excessConnections(list.Conns)
	}, warn: func(victim *readerConn) {
		s.cfg.Log.Warn("more NATS connections of readers than there may be: those unused for longest are closed", "client", victim.client, "at_most", connectionsMax)
	}}
	w.run(ctx)
}

// connectionWatch closes connections of a server that are too many.
type connectionWatch struct {
	running    func() *server.Server // nil while there is none
	few        int                   // so many connections are never too many
	list       server.ConnzOptions
	findExcess func(*server.Connz) []readerConn
	warn       func(victim *readerConn) // is called for one of them in a minute
}

// run ends with ctx.
func (w *connectionWatch) run(ctx context.Context) {
	tick := time.NewTicker(limitPeriod)
	defer tick.Stop()
	logs := rate.Sometimes{Interval: time.Minute}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		srv := w.running()
		if srv == nil || srv.NumClients() <= w.few {
			continue
		}
		list, err := srv.Connz(&w.list)
		if err != nil {
			continue // it is shutting down
		}
		for _, victim := range w.findExcess(list) {
			_ = srv.DisconnectClientByID(victim.cid) // or it is gone already
			logs.Do(func() { w.warn(&victim) })
		}
	}
}

// limitPeriod is the time between two checks of how many connections there are.
const limitPeriod = 100 * time.Millisecond

// readerConn is a reader's connection.
type readerConn struct {
	cid    uint64
	client netip.Prefix
	used   time.Time
}

func excessConnections(all []*server.ConnInfo) (victims []readerConn) {
	tally := newConnectionTally()
	for _, c := range all {
		addr, err := netip.ParseAddr(c.IP)
		if err != nil {
			continue // one of ours, in this process
		}
		tally.add(readerConn{c.Cid, connlimit.ClientOfAddr(addr), c.LastActivity})
	}
	return tally.findExcess(connectionLimit{connectionsMax, connectionsPerClient})
}

// connectionLimit is how many connections there may be.
type connectionLimit struct{ total, perClient int }

// connectionTally has connections by their clients.
type connectionTally struct {
	perClient map[netip.Prefix][]readerConn
	total     int
}

func newConnectionTally() *connectionTally {
	return &connectionTally{perClient: make(map[netip.Prefix][]readerConn)}
}

func (t *connectionTally) add(c readerConn) {
	t.perClient[c.client] = append(t.perClient[c.client], c)
	t.total++
}

// findExcess returns the connections that are too many.
func (t *connectionTally) findExcess(limit connectionLimit) (victims []readerConn) {
	remove := func(client netip.Prefix, n int) {
		held := t.perClient[client]
		victims = append(victims, held[:n]...)
		t.perClient[client] = held[n:]
		t.total -= n
	}
	for client, held := range t.perClient {
		slices.SortFunc(held, func(a, b readerConn) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.cid, b.cid)) })
		remove(client, max(len(held)-limit.perClient, 0))
	}
	for t.total > limit.total {
		var busiest netip.Prefix
		for client, held := range t.perClient {
			if len(held) > len(t.perClient[busiest]) {
				busiest = client
			}
		}
		remove(busiest, 1)
	}
	return victims
}
