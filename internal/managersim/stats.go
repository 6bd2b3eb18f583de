package managersim

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is the load of the manager's sockets since it started. The work of its
// own daemons is not counted, as they do not use them here.
type Stats struct {
	Requests     uint64 // to agents
	InFlight     int64  // of these, not answered yet
	MostInFlight int64
	Answered     uint64        // by the agent
	NotSent      uint64        // "err Cannot send request"
	TimedOut     uint64        // "err Response timeout"
	Unknown      uint64        // closed without an answer: no such agent, or no request
	Commands     uint64        // remoted's own, JSON
	LongestFrame time.Duration // the longest time for which a client's incomplete frame blocked all others
	RequestsIn   uint64        // bytes
	RequestsOut  uint64

	Queries    uint64        // to wazuh-db
	Rows       uint64        // of the answers to these, and to queries over HTTP
	Answering  time.Duration // that wazuh-db took to make the answers
	Statements uint64        // SQL that ran for these, and for remoted and monitord
	DBClients  int64         // connections now
	DBIn       uint64        // bytes
	DBOut      uint64

	ControlMessages uint64 // datagrams on the AR queue
	Events          uint64 // datagrams to analysisd, monitord's own too
	Agents          int64  // connections

	// Of a manager of 5.
	Requests5   uint64 // requests to agents that are of version 5 in the database: they cannot be asked
	Notifies    uint64 // of agents of 5
	NotifyRows  uint64 // of these, written to the database
	HTTPQueries uint64 // to wdb-http.sock
	HTTPBytes   uint64 // its answers
	HTTPSyncs   uint64 // of these, GET /v1/agents/sync, which takes from clusterd what it has to send
}

// counters are behind Stats.
type counters struct {
	requests, answered, notSent, timedOut, unknown, commands atomic.Uint64
	inFlight, mostInFlight, longestFrame                     atomic.Int64
	bytesIn, bytesOut                                        [socketCount]atomic.Uint64

	queries   atomic.Uint64
	answering atomic.Int64 // nanoseconds
	dbClients atomic.Int64
	byName    sync.Map // of a command's name to *atomic.Uint64

	controls, events atomic.Uint64
	agents           atomic.Int64

	requests5, notifies, notifyRows, httpQueries, httpBytes, httpSyncs atomic.Uint64
}

// Stats returns the load so far.
func (m *Manager) Stats() Stats {
	c := &m.counters
	return Stats{
		Requests: c.requests.Load(), InFlight: c.inFlight.Load(), MostInFlight: c.mostInFlight.Load(),
		Answered: c.answered.Load(), NotSent: c.notSent.Load(), TimedOut: c.timedOut.Load(), Unknown: c.unknown.Load(),
		Commands: c.commands.Load(), LongestFrame: time.Duration(c.longestFrame.Load()),
		RequestsIn: c.bytesIn[RequestSocket].Load(), RequestsOut: c.bytesOut[RequestSocket].Load(),
		Queries: c.queries.Load(), Statements: m.store.statements.Load(), Rows: m.store.rows.Load(), Answering: time.Duration(c.answering.Load()), DBClients: c.dbClients.Load(),
		DBIn: c.bytesIn[DatabaseSocket].Load(), DBOut: c.bytesOut[DatabaseSocket].Load(),
		ControlMessages: c.controls.Load(), Events: c.events.Load(), Agents: c.agents.Load(),
		Requests5: c.requests5.Load(), Notifies: c.notifies.Load(), NotifyRows: c.notifyRows.Load(),
		HTTPQueries: c.httpQueries.Load(), HTTPBytes: c.httpBytes.Load(), HTTPSyncs: c.httpSyncs.Load(),
	}
}

// Queried returns how often a command of wazuh-db was requested, such as
// "sql".
func (m *Manager) Queried(command string) uint64 { return m.counters.commandCount(command) }

func (c *counters) countCommand(name string) {
	n, _ := c.byName.LoadOrStore(name, new(atomic.Uint64))
	n.(*atomic.Uint64).Add(1)
}

func (c *counters) commandCount(name string) uint64 {
	if n, has := c.byName.Load(name); has {
		return n.(*atomic.Uint64).Load()
	}
	return 0
}

// storeMax raises most to n, if it is below.
func storeMax(most *atomic.Int64, n int64) {
	for {
		was := most.Load()
		if n <= was || most.CompareAndSwap(was, n) {
			return
		}
	}
}

// clientLog records what clients other than the manager's own daemons wrote.
type clientLog struct {
	mu     sync.Mutex
	writes []string // commands of wazuh-db that change an agent
	events []string // lines for analysisd
}

func (b *clientLog) addWrite(command string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes = append(b.writes, command)
}

func (b *clientLog) addEvent(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, line)
}

// Writes returns the commands that changed agents through wazuh-db's socket,
// in order, without "global ".
func (m *Manager) Writes() []string {
	m.clientLog.mu.Lock()
	defer m.clientLog.mu.Unlock()
	return append([]string(nil), m.clientLog.writes...)
}

// Events returns the messages received by analysisd, in order.
func (m *Manager) Events() []string {
	m.clientLog.mu.Lock()
	defer m.clientLog.mu.Unlock()
	return append([]string(nil), m.clientLog.events...)
}

// changeNotifier wakes those who wait for the next change.
type changeNotifier struct {
	mu   sync.Mutex
	next chan struct{}
}

func (b *changeNotifier) notifyAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Changed returns a channel that is closed with the next change at the
// manager: a query, a request, a datagram, an agent's message.
func (m *Manager) Changed() <-chan struct{} {
	m.changes.mu.Lock()
	defer m.changes.mu.Unlock()
	if m.changes.next == nil {
		m.changes.next = make(chan struct{})
	}
	return m.changes.next
}
