package listen

import (
	"container/heap"
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// refusal is why something from a peer was not accepted.
type refusal uint8

const (
	notOurs      refusal = iota // no secure message at all
	unknownAgent                // no such agent, or none at this address
	wrongAddress                // registered under another address
	wrongKey                    // does not decrypt, or not to a whole message
	oversized                   // longer than a message may be
	keyInUse                    // the agent has another live connection
	anotherAgent                // the connection belongs to another agent
	tooLate                     // no whole message in time
	tooSlow                     // the peer does not read what it is sent
	tooMany                     // the limit of connections is reached
	staleCounter                // not newer than what was received, and no question answered
	reflected                   // a manager's own message
	refusals
)

// The names are those in statistics and logs.
var refusalNames = [refusals]string{"garbled", "unknown_agent", "wrong_address", "wrong_key", "oversized", "key_in_use",
	"another_agent", "too_late", "slow_reader", "too_many_connections", "stale_counter", "reflected"}

func (r refusal) String() string { return refusalNames[r] }

// refusalError is the error of something that was not accepted.
type refusalError struct {
	why   refusal
	agent string // whose connection or key it is about; "" if unknown
	err   error
}

func (r *refusalError) Error() string { return r.why.String() + ": " + r.err.Error() }
func (r *refusalError) Unwrap() error { return r.err }

func refuse(why refusal, err error) error { return &refusalError{why: why, err: err} }

// refuseAgentMessage refuses something that came in the name of a registered agent.
func refuseAgentMessage(agent string, why refusal, err error) error {
	return &refusalError{why, agent, err}
}

// Refusal is something from a peer that was not accepted.
type Refusal struct {
	From   netip.AddrPort // invalid if unknown
	Reason string
	Agent  string // the registered agent in whose name it came, if any; over UDP the source address can be forged
	Err    error  // may quote what the peer sent, in a bounded and printable form
}

// recordRefusal counts, logs and reports a refusal. It ignores other errors, such as
// the end of a connection.
func (l *Link) recordRefusal(from netip.AddrPort, err error) {
	if r, ok := errors.AsType[*refusalError](err); ok {
		l.count.refused[r.why].Add(1)
		l.log.logRefusal(from, r)
		if l.onRefused != nil {
			l.onRefused(Refusal{from, r.why.String(), r.agent, r.err})
		}
	}
}

// containPanic runs f, which serves one peer. It returns a panic in f as an error for
// that peer alone, counts it, and logs it with its stack.
func (l *Link) containPanic(from netip.AddrPort, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			l.count.panics.Add(1)
			l.log.logPanic(from, v, debug.Stack())
			err = &panicError{v}
		}
	}()
	return f()
}

// panicError is the error of a peer that made the link panic.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// rateLimitedLog logs the first line of each kind, and then one a minute with
// the number of those in between: a thousand refusals a second do not fill the disk.
type rateLimitedLog struct {
	*slog.Logger
	refusals [refusals]logonce.Limiter
	panics   logonce.Limiter
}

func (l *rateLimitedLog) logRefusal(from netip.AddrPort, r *refusalError) {
	if skipped, ok := l.refusals[r.why].Allow(); ok {
		l.Warn("refused a peer", "peer", from, "reason", r.why.String(), "err", r.err, "others_since_last", skipped)
	}
}

func (l *rateLimitedLog) logPanic(from netip.AddrPort, value any, stack []byte) {
	if skipped, ok := l.panics.Allow(); ok {
		l.Error("a fault in Pulse ended a peer's connection: please report it", "peer", from, "panic", fmt.Sprint(value),
			"stack", string(stack), "others_since_last", skipped)
	}
}

// strangers are the connections that have not authenticated, by their address. At the
// limit of connections, the oldest of the address that has the most of them beyond its
// agents is closed: opening many idle connections evicts the opener's own. An agent's
// connection is a stranger until its first message.
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
	agents int       // that were last at the address
	index  int       // in the heap
}

// excessConns returns by how many the strangers exceed the agents of the address.
func (g *strangerGroup) excessConns() int { return g.conns.Len() - g.agents }

func newStrangers(agents func(netip.Addr) int) *strangers {
	return &strangers{groups: make(map[netip.Addr]*strangerGroup), agents: agents}
}

// strangerNetworkOf returns what counts as one address: the /64 of an IPv6 address, which is
// what one host may have.
func strangerNetworkOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}

func (s *strangers) addStrangerConn(c *conn) {
	addr := strangerNetworkOf(c.from.Addr())
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
	c.group, c.element = g, g.conns.PushBack(c)
	heap.Fix(&s.heap, g.index)
}

// removeStrangerConn removes a connection that has authenticated or is closed.
func (s *strangers) removeStrangerConn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeConnLocked(c)
}

func (s *strangers) removeConnLocked(c *conn) {
	g := c.group
	if g == nil {
		return
	}
	g.conns.Remove(c.element)
	c.group, c.element = nil, nil
	if g.conns.Len() > 0 {
		heap.Fix(&s.heap, g.index)
		return
	}
	heap.Remove(&s.heap, g.index)
	delete(s.groups, g.addr)
}

// evictOldestStranger removes and returns the stranger to close for another connection; nil
// if there is none. Strangers of an address that has as many agents are only evicted
// if last is set.
func (s *strangers) evictOldestStranger(last bool) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 || !last && s.heap[0].excessConns() <= 0 {
		return nil
	}
	c := s.heap[0].conns.Front().Value.(*conn)
	s.removeConnLocked(c)
	return c
}

// strangerHeap has the group with the greatest excess first.
type strangerHeap []*strangerGroup

func (h strangerHeap) Len() int           { return len(h) }
func (h strangerHeap) Less(i, j int) bool { return h[i].excessConns() > h[j].excessConns() }
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

// openConnectionLimit returns the limit of open connections, by the open-file limit of the
// process less a reserve for other files.
func openConnectionLimit() int64 {
	const others = 256
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < 2*others {
		return others
	}
	return int64(min(files.Cur, 1<<31)) - others
}

// reservedSlots returns how many connections below the limit strangers begin to be evicted.
func reservedSlots(limit int64) int64 { return min(limit/8, 64) }

// evictionTimeout is how long at most a new connection waits for an evicted one to close.
const evictionTimeout = 50 * time.Millisecond

// freeConnSlot reports whether one more connection may be open. Near the limit it evicts
// a stranger.
func (l *Link) freeConnSlot() bool {
	open := l.count.connections.Load()
	if open < l.limit-reservedSlots(l.limit) {
		return true
	}
	c := l.strangers.evictOldestStranger(open >= l.limit)
	if c != nil {
		c.writer.endConn(refuse(tooMany, fmt.Errorf("%d connections are open: one that has shown no key made place for another", open)))
	}
	for waited := time.Duration(0); l.count.connections.Load() >= l.limit; waited += time.Millisecond {
		if c == nil || waited >= evictionTimeout {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}
