package listen

import (
	"container/heap"
	"container/list"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// strangers are the connections that have not proven an agent, by the address that
// they come from. When there is no place left, the address that has the most of
// them beyond its agents gives one up, its oldest: who opens many and says nothing
// displaces himself. An agent is a stranger for as long as its first message takes.
type strangers struct {
	mu     sync.Mutex
	groups map[netip.Addr]*strangerGroup
	heap   strangerHeap
	agents func(netip.Addr) int // how many agents were last at an address
}

// strangerGroup are the strangers of one address.
type strangerGroup struct {
	addr   netip.Addr
	conns  list.List // of *conn, the oldest first
	agents int       // that were last there
	index  int       // in the heap
}

// excess is how many strangers there are beyond those that the agents of the
// address explain.
func (g *strangerGroup) excess() int { return g.conns.Len() - g.agents }

func newStrangers(agents func(netip.Addr) int) *strangers {
	return &strangers{groups: make(map[netip.Addr]*strangerGroup), agents: agents}
}

// networkOf is what counts as one address: of IPv6 a host has a network of 2^64.
func networkOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

func (s *strangers) add(c *conn) {
	addr := networkOf(c.from.Addr())
	agents := s.agents(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[addr]
	if g == nil {
		g = &strangerGroup{addr: addr}
		s.groups[addr] = g
		heap.Push(&s.heap, g)
	}
	g.agents = agents
	c.group, c.seat = g, g.conns.PushBack(c)
	heap.Fix(&s.heap, g.index)
}

// remove takes a connection out that is a stranger no more, or closed.
func (s *strangers) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(c)
}

func (s *strangers) removeLocked(c *conn) {
	g := c.group
	if g == nil {
		return
	}
	g.conns.Remove(c.seat)
	c.group, c.seat = nil, nil
	if g.conns.Len() > 0 {
		heap.Fix(&s.heap, g.index)
		return
	}
	heap.Remove(&s.heap, g.index)
	delete(s.groups, g.addr)
}

// displace takes out the stranger that has to make place for another connection;
// nil if there is none. Those whom the agents of their address explain are only
// displaced where nothing else helps.
func (s *strangers) displace(last bool) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 || !last && s.heap[0].excess() <= 0 {
		return nil
	}
	c := s.heap[0].conns.Front().Value.(*conn)
	s.removeLocked(c)
	return c
}

// strangerHeap has the group with the greatest excess first.
type strangerHeap []*strangerGroup

func (h strangerHeap) Len() int           { return len(h) }
func (h strangerHeap) Less(i, j int) bool { return h[i].excess() > h[j].excess() }
func (h strangerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *strangerHeap) Push(g any) {
	g.(*strangerGroup).index = len(*h)
	*h = append(*h, g.(*strangerGroup))
}
func (h *strangerHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return g
}

// freePlaces is how many places are kept free for newcomers, at the cost of strangers.
func freePlaces(limit int64) int64 { return min(limit/8, 64) }

// closing is how long at most a newcomer waits for a place that a displaced stranger
// is about to leave.
const closing = 50 * time.Millisecond

// makePlace reports whether there is a place for one more connection. Where it gets
// tight, a stranger has to go.
func (l *Link) makePlace() bool {
	open := l.count.connections.Load()
	if open < l.limit-freePlaces(l.limit) {
		return true
	}
	c := l.strangers.displace(open >= l.limit)
	if c != nil {
		c.out.end(refuse(tooMany, fmt.Errorf("%d connections are open: one that has shown no key made place for another", open)))
	}
	for waited := time.Duration(0); l.count.connections.Load() >= l.limit; waited += time.Millisecond {
		if c == nil || waited >= closing {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}
