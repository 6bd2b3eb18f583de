package managersim

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is the load that the manager's sockets were under since it started. Its
// own daemons' work does not count, as they do not use them here.
type Stats struct {
	Requests     uint64 // to agents
	InFlight     int64  // of these, not answered yet
	MostInFlight int64
	Answered     uint64        // by the agent
	NotSent      uint64        // "err Cannot send request"
	TimedOut     uint64        // "err Response timeout"
	Unknown      uint64        // closed without a word: no such agent, or no request
	Commands     uint64        // remoted's own, JSON
	LongestFrame time.Duration // that one client kept all others waiting, with a frame that was not whole
	RequestsIn   uint64        // bytes
	RequestsOut  uint64

	Queries    uint64 // to wazuh-db
	Statements uint64 // SQL that ran for these, and for remoted and monitord
	DBClients  int64  // connections now
	DBIn       uint64 // bytes
	DBOut      uint64

	ControlMessages uint64 // datagrams on the AR queue
	Events          uint64 // datagrams to analysisd, monitord's own too
	Agents          int64  // connections
}

// counters are behind Stats.
type counters struct {
	requests, answered, notSent, timedOut, unknown, commands atomic.Uint64
	inFlight, mostInFlight, longestFrame                     atomic.Int64
	bytesIn, bytesOut                                        [sockets]atomic.Uint64

	queries   atomic.Uint64
	dbClients atomic.Int64
	byName    sync.Map // of a command's name to *atomic.Uint64

	controls, events atomic.Uint64
	agents           atomic.Int64
}

// Stats counts the load so far.
func (m *Manager) Stats() Stats {
	c := &m.count
	return Stats{
		Requests: c.requests.Load(), InFlight: c.inFlight.Load(), MostInFlight: c.mostInFlight.Load(),
		Answered: c.answered.Load(), NotSent: c.notSent.Load(), TimedOut: c.timedOut.Load(), Unknown: c.unknown.Load(),
		Commands: c.commands.Load(), LongestFrame: time.Duration(c.longestFrame.Load()),
		RequestsIn: c.bytesIn[RequestSocket].Load(), RequestsOut: c.bytesOut[RequestSocket].Load(),
		Queries: c.queries.Load(), Statements: m.store.statements.Load(), DBClients: c.dbClients.Load(),
		DBIn: c.bytesIn[DatabaseSocket].Load(), DBOut: c.bytesOut[DatabaseSocket].Load(),
		ControlMessages: c.controls.Load(), Events: c.events.Load(), Agents: c.agents.Load(),
	}
}

// Queried is how often a command of wazuh-db was asked for, such as "sql".
func (m *Manager) Queried(command string) uint64 { return m.count.commanded(command) }

func (c *counters) command(name string) {
	n, _ := c.byName.LoadOrStore(name, new(atomic.Uint64))
	n.(*atomic.Uint64).Add(1)
}

func (c *counters) commanded(name string) uint64 {
	if n, has := c.byName.Load(name); has {
		return n.(*atomic.Uint64).Load()
	}
	return 0
}

// raise lifts most to n, if it is below.
func raise(most *atomic.Int64, n int64) {
	for {
		was := most.Load()
		if n <= was || most.CompareAndSwap(was, n) {
			return
		}
	}
}

// book keeps what others than the manager's own daemons wrote.
type book struct {
	mu     sync.Mutex
	writes []string // commands of wazuh-db that change an agent
	events []string // lines for analysisd
}

func (b *book) write(command string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes = append(b.writes, command)
}

func (b *book) event(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, line)
}

// Writes are the commands that changed agents through wazuh-db's socket, in
// order, without "global ".
func (m *Manager) Writes() []string {
	m.book.mu.Lock()
	defer m.book.mu.Unlock()
	return append([]string(nil), m.book.writes...)
}

// Events are the lines that came to analysisd, in order.
func (m *Manager) Events() []string {
	m.book.mu.Lock()
	defer m.book.mu.Unlock()
	return append([]string(nil), m.book.events...)
}

// bell tells whoever waits that something happened.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Changed is closed when anything happens at the manager after the call: a
// query, a request, a datagram, an agent's message.
func (m *Manager) Changed() <-chan struct{} {
	m.bell.mu.Lock()
	defer m.bell.mu.Unlock()
	if m.bell.next == nil {
		m.bell.next = make(chan struct{})
	}
	return m.bell.next
}
