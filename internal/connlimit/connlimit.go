// Package connlimit bounds how many connections a server has, in total and of one
// client. Where there are too many, a new one takes the place of the connection of the
// same client, or else of the client with the most, on which nothing was sent or
// received for the longest time: nobody can lock others out by holding connections.
//
// A client is an IPv4 address, or an IPv6 network of 64 bits. A connection that has
// shown that it may (see [TrustConn]) gives way last.
//
// It starts no goroutine. All methods may be called concurrently.
package connlimit

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are those of a listener.
type Limits struct {
	Total     int // connections
	PerClient int // of one client

	// Closed is called for each connection that had to give way, and must not wait; nil for none.
	Closed func(client netip.Prefix)
}

// Listener hands out the connections of another one, within limits.
type Listener struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	perClient map[netip.Prefix]int
}

// NewListener returns a listener that takes the place of l.
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
	c.used.Store(time.Now().UnixNano())
	l.mu.Lock()
	var victim *Conn
	if l.perClient[c.client] >= l.limits.PerClient {
		victim = l.findVictim(c.client)
	} else if len(l.conns) >= l.limits.Total {
		victim = l.findVictim(l.busiestClient())
	}
	if victim != nil {
		l.remove(victim)
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

// findVictim returns the connection of a client that gives way. The caller holds l.mu.
func (l *Listener) findVictim(client netip.Prefix) (victim *Conn) {
	for c := range l.conns {
		if c.client == client && (victim == nil || c.givesWayBefore(victim)) {
			victim = c
		}
	}
	return victim
}

// busiestClient returns the client with the most connections that are not trusted, and
// with the most at all where all are. The caller holds l.mu.
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

// remove forgets a connection. The caller holds l.mu.
func (l *Listener) remove(c *Conn) {
	if _, there := l.conns[c]; !there {
		return
	}
	delete(l.conns, c)
	if l.perClient[c.client]--; l.perClient[c.client] == 0 {
		delete(l.perClient, c.client)
	}
}

// Open returns how many connections there are.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// ClientOf returns whose connection it is that has this remote address.
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

// ClientOfAddr returns whose address it is.
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
	used     atomic.Int64 // when something was sent or received last, Unix time in ns
	trusted  atomic.Bool
}

func (c *Conn) givesWayBefore(o *Conn) bool {
	if mine, others := c.trusted.Load(), o.trusted.Load(); mine != others {
		return !mine
	}
	return c.used.Load() < o.used.Load()
}

// Read reads, and notes that the connection is used.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.used.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes, and notes that the connection is used.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.used.Store(time.Now().UnixNano())
	}
	return n, err
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// TrustConn marks the connection, also of TLS over it, as one that gives way last.
func TrustConn(nc net.Conn) {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = over.NetConn()
	}
	if c, ok := nc.(*Conn); ok {
		c.trusted.Store(true)
	}
}
