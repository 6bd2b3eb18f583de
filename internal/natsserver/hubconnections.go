package natsserver

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/connlimit"
)

// What the clients of a [Hub] may use of it, unless its configuration allows less. A node has
// two or three connections, and some subscriptions on each.
const (
	hubConnectionsTaken = 1024     // for a moment, of everybody: see limitConnections
	hubFileShare        = 4        // of the files that the process may have open, connections take one of so many
	hubPendingMax       = 8 << 20  // bytes that wait for one connection, and that one answer from a stream has
	hubBufferedMax      = 32 << 20 // bytes that wait to be stored in one stream
	hubClosedKept       = 100      // closed connections that the server remembers

	hubPendingPerClient = 64 << 20  // bytes that wait for all connections of one address
	hubPendingTotal     = 192 << 20 // and of all
)

// hubUsers and hubStrangers bound the connections that are logged in, and those that are not.
var (
	hubUsers     = connectionLimit{total: 256, perClient: 96}
	hubStrangers = connectionLimit{total: 64, perClient: 16}
)

// loginTime is for how long a connection without a login is left alone, unless these take
// half of all.
const loginTime = 300 * time.Millisecond

// boundHub sets the limits of a server's options.
func boundHub(opts *server.Options) {
	setLimit(&opts.MaxConn, hubConnections())
	setLimit(&opts.MaxSubs, subscriptionsMax)
	setLimit(&opts.MaxPending, hubPendingMax)
	setLimit(&opts.StreamMaxBufferedSize, hubBufferedMax)
	setLimit(&opts.MaxClosedClients, hubClosedKept)
}

// setLimit lowers a limit, of which 0 is none.
func setLimit[T int | int64](limit *T, most T) {
	if *limit <= 0 || *limit > most {
		*limit = most
	}
}

// hubConnections returns how many connections the server takes. They are files, of which the
// agents' connections and the messages' store need the most.
func hubConnections() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return hubConnectionsTaken
	}
	return int(min(hubConnectionsTaken, files.Cur/hubFileShare))
}

// limitConnections closes connections that are too many, until ctx ends. Those that have not
// logged in make room for those that want to: the oldest of the address that has the most of them.
func (h *Hub) limitConnections(ctx context.Context) {
	w := connectionWatch{running: h.running, list: server.ConnzOptions{Username: true, Limit: 2 * hubConnectionsTaken}, findExcess: func(list *server.Connz) []readerConn {
		return excessHubConnections(list.Conns, list.Now, hubConnections())
	}, warn: func(victim *readerConn) {
		h.log.Warn("connections to the cluster's NATS server are closed: there are more than there may be, or more waits for them", "client", victim.client,
			"at_most", hubUsers.total, "without_login", hubStrangers.total, "bytes_waiting", hubPendingPerClient)
	}}
	w.run(ctx)
}

// excessHubConnections returns the connections that are too many, of as many as the server takes.
func excessHubConnections(all []*server.ConnInfo, now time.Time, taken int) []readerConn {
	users, strangers := newConnectionTally(), newConnectionTally()
	var waiting []waitingConn
	crowded := len(all) > taken/2
	for _, c := range all {
		addr, err := netip.ParseAddr(c.IP)
		if err != nil {
			continue
		}
		conn := readerConn{c.Cid, connlimit.ClientOfAddr(addr), c.LastActivity}
		if c.Pending > 0 {
			waiting = append(waiting, waitingConn{conn, c.Pending})
		}
		switch {
		case c.AuthorizedUser != "":
			users.add(conn)
		case crowded || now.Sub(c.Start) >= loginTime:
			strangers.add(conn)
		}
	}
	victims := append(strangers.findExcess(hubStrangers), users.findExcess(connectionLimit{min(hubUsers.total, taken/2), hubUsers.perClient})...)
	return append(victims, findSlowConnections(waiting)...)
}

// waitingConn is a connection, and the bytes that wait for it.
type waitingConn struct {
	readerConn
	pending int
}

// findSlowConnections returns the connections for which too much waits: those with the most, of the address with too
// much, or else of all.
func findSlowConnections(waiting []waitingConn) (victims []readerConn) {
	slices.SortFunc(waiting, func(a, b waitingConn) int { return cmp.Compare(b.pending, a.pending) })
	perClient, total := make(map[netip.Prefix]int), 0
	for _, c := range waiting {
		perClient[c.client] += c.pending
		total += c.pending
	}
	for _, c := range waiting {
		if perClient[c.client] > hubPendingPerClient || total > hubPendingTotal {
			perClient[c.client] -= c.pending
			total -= c.pending
			victims = append(victims, c.readerConn)
		}
	}
	return victims
}
