// Package connlimit bounds how many connections a server has, in total and per
// client. At a limit, a new connection replaces the one of the same client, or of the
// client with the most, that was idle for the longest time: holding connections does
// not lock other clients out.
//
// A client is an IPv4 address, or an IPv6 network of 64 bits. An authenticated
// connection (see [TrustConn]) is closed last.
//
// It starts no goroutine. All methods are safe for concurrent use.
package connlimit

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are the limits of a [Listener].
type Limits struct {
	Total     int // connections
	PerClient int // of one client

	// Closed is called for each connection that was replaced, and must not block; may be nil.
	Closed func(client netip.Prefix)
}

// Listener accepts the connections of another listener, within limits.
type Listener struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	perClient map[netip.Prefix]int
}

// NewListener returns a listener that accepts from l.
func NewListener(l net.Listener, limits Limits) *Listener {
	return &Listener{Listener: l, limits: limits, conns: make(map[*Conn]struct{}), perClient: make(map[netip.Prefix]int)}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, listener: l, client: ClientOf(nc.RemoteAddr())}
	c.lastUsed.Store(time.Now().UnixNano())
	l.mu.Lock()
	var victim *Conn
	if l.perClient[c.client] >= l.limits.PerClient {
		victim = l.findVictim(c.client)
	} else if len(l.conns) >= l.limits.Total {
		victim = l.findVictim(l.busiestClient())
	}
	if victim != nil {
		l.removeConn(victim)
	}
	l.conns[c] = struct{}{}
	l.perClient[c.client]++
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Conn.Close()
		if l.limits.Closed != nil {
			l.limits.Closed(victim.client)
		}
	}
	return c, nil
}

// findVictim returns the connection of a client to close first. The caller holds l.mu.
func (l *Listener) findVictim(client netip.Prefix) (victim *Conn) {
	for c := range l.conns {
		if c.client == client && (victim == nil || c.closesBefore(victim)) {
			victim = c
		}
	}
	return victim
}

// busiestClient returns the client with the most connections that are not trusted, or
// with the most at all if all are. The caller holds l.mu.
func (l *Listener) busiestClient() (busiest netip.Prefix) {
	strangers := make(map[netip.Prefix]int)
	for c := range l.conns {
		if !c.trusted.Load() {
			strangers[c.client]++
		}
	}
	if len(strangers) == 0 {
		strangers = l.perClient
	}
	most := 0
	for client, n := range strangers {
		if n > most || n == most && client.Addr().Less(busiest.Addr()) {
			busiest, most = client, n
		}
	}
	return busiest
}

// removeConn removes a connection from the counts. The caller holds l.mu.
func (l *Listener) removeConn(c *Conn) {
	if _, there := l.conns[c]; !there {
		return
	}
	delete(l.conns, c)
	if l.perClient[c.client]--; l.perClient[c.client] == 0 {
		delete(l.perClient, c.client)
	}
}

// Open returns the number of open connections.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// ClientOf returns the client of a connection with this remote address.
func ClientOf(addr net.Addr) netip.Prefix {
	if addr == nil {
		return netip.Prefix{}
	}
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	return ClientOfAddr(at.Addr())
}

// ClientOfAddr returns the client with this address.
func ClientOfAddr(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	client, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return client
}

// Conn is a connection of a [Listener].
type Conn struct {
	net.Conn
	listener *Listener
	client   netip.Prefix
	lastUsed atomic.Int64 // when something was sent or received last, Unix time in ns
	trusted  atomic.Bool
}

func (c *Conn) closesBefore(o *Conn) bool {
	if mine, other := c.trusted.Load(), o.trusted.Load(); mine != other {
		return !mine
	}
	return c.lastUsed.Load() < o.lastUsed.Load()
}

// Read reads, and records that the connection is used.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.lastUsed.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes, and records that the connection is used.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.lastUsed.Store(time.Now().UnixNano())
	}
	return n, err
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.listener.removeConn(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// TrustConn marks a connection, or the one below a TLS connection, to be closed last.
func TrustConn(nc net.Conn) {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = over.NetConn()
	}
	if c, ok := nc.(*Conn); ok {
		c.trusted.Store(true)
	}
}
