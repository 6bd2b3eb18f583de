package managersim

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// Balancer is a TCP load balancer before the nodes of a cluster: it gives each new connection
// to the node that is set for its client, or for all.
type Balancer struct {
	daemon
	addr  netip.AddrPort
	nodes map[string]netip.AddrPort

	mu    sync.Mutex
	to    string // where new connections go
	conns map[*balanced]struct{}
}

// balanced is one connection.
type balanced struct {
	node     string
	from, at net.Conn
}

// StartBalancer starts a balancer that gives all connections to one of the nodes.
func StartBalancer(nodes map[string]netip.AddrPort, to string) (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a balancer: %w", err)
	}
	b := &Balancer{nodes: nodes, to: to, addr: l.Addr().(*net.TCPAddr).AddrPort(), conns: make(map[*balanced]struct{})}
	b.markRunning()
	b.acceptConns(l, func(conn net.Conn) { b.goRun(func() { b.carry(conn) }) })
	return b, nil
}

// Close ends it and all connections.
func (b *Balancer) Close() { b.stopAndWait() }

// Addr is where agents connect.
func (b *Balancer) Addr() netip.AddrPort { return b.addr }

// SetTarget sets where new connections go.
func (b *Balancer) SetTarget(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = node
}

// CutConns ends up to n connections to a node at once, all if n is negative, and returns how
// many. The node sees their end. Agents then connect anew.
func (b *Balancer) CutConns(node string, n int) (cut int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.node == node && (n < 0 || cut < n) {
			_, _ = c.from.Close(), c.at.Close()
			cut++
		}
	}
	return cut
}

// carry carries one connection until one side ends it.
func (b *Balancer) carry(from net.Conn) {
	defer b.closeAndForget(from)
	b.mu.Lock()
	node := b.to
	b.mu.Unlock()
	at, err := net.Dial("tcp", b.nodes[node].String())
	if err != nil || !b.registerCloser(at) {
		return
	}
	defer b.closeAndForget(at)
	c := &balanced{node, from, at}
	b.mu.Lock()
	b.conns[c] = struct{}{}
	b.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(from, at); _ = from.Close() })
	_, _ = io.Copy(at, from)
	_ = at.Close()
	back.Wait()
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
}
