package relay

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Balancer gives each new connection to the node that is set for its agent, and to no other.
// Connections of other agents go to the nodes in turn, to the next one if a node cannot be
// reached.
type Balancer struct {
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex
	nodes  []*node
	routes map[string]string // by agent
	next   int               // of nodes, for an agent without a route
	conns  map[*conn]struct{}
	closed bool
}

// Node is a node as the balancer knows it.
type Node struct {
	Name string
	Addr string // host:port
}

type node struct {
	Node
	down bool
}

// conn is one connection. Its fields are guarded by the balancer's mutex.
type conn struct {
	agent    string // "" while it is not known
	node     string
	from, at net.Conn // at is nil while it is not known
	ended    bool
	hung     bool // it has ended, which the node does not see
}

// StartBalancer starts a balancer on a free port of loopback.
func StartBalancer(nodes ...Node) (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a balancer: %w", err)
	}
	b := &Balancer{listener: l, routes: make(map[string]string), conns: make(map[*conn]struct{})}
	for _, n := range nodes {
		b.nodes = append(b.nodes, &node{Node: n})
	}
	b.work.Go(b.acceptConns)
	return b, nil
}

// Close ends it and all connections.
func (b *Balancer) Close() {
	_ = b.listener.Close()
	b.mu.Lock()
	b.closed = true
	for c := range b.conns {
		c.closeBoth()
	}
	b.mu.Unlock()
	b.work.Wait()
}

// Addr is where agents connect, host:port.
func (b *Balancer) Addr() string { return b.listener.Addr().String() }

// SetRoute sets to which node the next connections of an agent go, or with agent "" those of
// all agents without a route of their own. A node "" is none: the nodes take turns.
func (b *Balancer) SetRoute(agent, node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routes[agent] = node
}

// SetAddr sets a node's address, as after its restart.
func (b *Balancer) SetAddr(name, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.findNode(name); n != nil {
		n.Addr = addr
	}
}

// SetDown takes a node out, or in again. Its connections stay.
func (b *Balancer) SetDown(name string, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.findNode(name); n != nil {
		n.down = down
	}
}

// CutNode ends all connections to a node, and returns how many. Both sides see their end.
func (b *Balancer) CutNode(name string) int {
	return b.endConns(func(c *conn) bool { return c.node == name }, false)
}

// CutAgent ends the connections of an agent, and returns how many. Both sides see their end.
func (b *Balancer) CutAgent(agent string) int {
	return b.endConns(func(c *conn) bool { return c.agent == agent }, false)
}

// HangAgent ends the agent's side of its connections only: to its node each is open, and
// silent.
func (b *Balancer) HangAgent(agent string) int {
	return b.endConns(func(c *conn) bool { return c.agent == agent }, true)
}

func (b *Balancer) endConns(which func(*conn) bool, hang bool) (ended int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.ended || !which(c) {
			continue
		}
		ended++
		if c.ended, c.hung = true, hang; hang {
			_ = c.from.Close()
		} else {
			c.closeBoth()
		}
	}
	return ended
}

// Agents returns which node each agent is connected to.
func (b *Balancer) Agents() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]string)
	for c := range b.conns {
		if c.agent != "" && !c.ended {
			all[c.agent] = c.node
		}
	}
	return all
}

func (c *conn) closeBoth() {
	_ = c.from.Close()
	if c.at != nil {
		_ = c.at.Close()
	}
}

func (b *Balancer) findNode(name string) *node {
	for _, n := range b.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func (b *Balancer) acceptConns() {
	for {
		from, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.work.Go(func() { b.carry(&conn{from: from}) })
	}
}

// firstTime is how long the first message of a connection may take.
const firstTime = 10 * time.Second

// carry carries one connection until one side ends it.
func (b *Balancer) carry(c *conn) {
	if !b.addConn(c) {
		_ = c.from.Close()
		return
	}
	defer b.removeConn(c)
	_ = c.from.SetReadDeadline(time.Now().Add(firstTime))
	first, agent, err := readFirst(c.from)
	if err != nil || !b.dialNode(c, agent) {
		return
	}
	_ = c.from.SetReadDeadline(time.Time{})
	if _, err := c.at.Write(first); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		copyBytes(c.from, c.at)
		if b.isHung(c) {
			_, _ = io.Copy(io.Discard, c.at)
		}
		_ = c.from.Close()
	})
	copyBytes(c.at, c.from)
	if !b.isHung(c) {
		_ = c.at.Close()
	}
	back.Wait()
}

// copyBytes copies what one side sends to the other. The kernel could, but with two pipes, and
// so four open files, for each connection.
func copyBytes(to io.Writer, from io.Reader) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 4<<10))
}

func (b *Balancer) addConn(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.conns[c] = struct{}{}
	}
	return !b.closed
}

func (b *Balancer) removeConn(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.closeBoth()
	delete(b.conns, c)
}

func (b *Balancer) isHung(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.hung
}

// dialNode connects to the first node for an agent that answers.
func (b *Balancer) dialNode(c *conn, agent string) bool {
	for _, n := range b.listNodes(agent) {
		at, err := net.Dial("tcp", n.Addr)
		if err != nil {
			continue
		}
		b.mu.Lock()
		c.agent, c.node, c.at = agent, n.Name, at
		if b.closed {
			c.closeBoth()
		}
		b.mu.Unlock()
		return true
	}
	return false
}

// listNodes returns the nodes to try for an agent, in order.
func (b *Balancer) listNodes(agent string) (list []Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if route := cmp.Or(b.routes[agent], b.routes[""]); route != "" {
		if n := b.findNode(route); n != nil && !n.down {
			list = append(list, n.Node)
		}
		return list
	}
	b.next++
	for i := range b.nodes {
		if n := b.nodes[(b.next-1+i)%len(b.nodes)]; !n.down {
			list = append(list, n.Node)
		}
	}
	return list
}
