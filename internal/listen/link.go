// Package listen is the link on which Pulse is the agents' manager: it implements
// Wazuh's secure message protocol on TCP and UDP, reports to the detector what it
// receives from agents, and sends them the detector's keep-alives.
//
// A peer is unauthenticated until one of its messages decrypts with an agent's key.
// Anything else is refused, counted and, on TCP, ends the connection. The number of
// connections, the size of a partial message, and the output that a peer does not read
// are bounded.
//
// A message whose counter is not higher than all before of its agent may be a
// replay: it proves nothing until its sender has answered a question with an
// unpredictable number. A [history] of some 70 bytes is kept for each agent, also while
// it is not connected. A connection that waits for such an answer is a claim: its
// messages are read, but neither reported nor allowed to end another connection.
// Connections that have not authenticated are strangers, the first to be closed when the
// limit of connections comes near. A panic while one peer is served ends only that
// peer's connection.
//
// A [Link] starts one goroutine that waits for TCP connections and reads them (the
// reader), and more for a moment, up to one per processor, when many have something to
// read; one that accepts connections, one that ends those past their deadline, one that
// reads UDP and one that repeats requests there, and one for each connection that waits
// for its agent's other one to end. [Link.Run] ends after all of them. The registry
// holds the peer of each agent. A connection belongs to the goroutine that reads it and a
// peer's state to the goroutine that reads from it, except where their fields document
// otherwise. While many messages arrive they are gathered for 5 ms, since to be woken costs
// more than to read and answer one. All methods are safe for concurrent use. The package is for Linux.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// datagramBuffer is the size of the socket's receive buffer: for a fleet of ten
// thousand agents that all start at the same moment.
const datagramBuffer = 4 << 20

// Config configures a [Link].
type Config struct {
	Addr     netip.AddrPort // port 0: a free one, the same for TCP and UDP
	TCP, UDP bool
	Method   detector.Method // of keep-alives
	Keys     *clientkeys.Set
	Numbers  [][]byte // what [Link.Numbers] of earlier processes returned
	Unsure   bool     // agents may have sent messages since that are not included in Numbers
	Clock    *detector.Clock
	Verify   bool                                  // messages whose counter is not newer than all before prove nothing until their sender has answered a question
	Report   func(detector.Sighting)               // called from many goroutines; may block
	SetInfo  func(detector.AgentID, detector.Info) // the same, when an agent sends other things of itself; may be nil
	Refused  func(Refusal)                         // called for every refusal, from many goroutines, at any rate; may be nil
	// Duplicated is called when two machines have the key of one agent: it is connected from an
	// address, and has shown a sign of life after a connection from another one was refused. It
	// must not wait; may be nil.
	Duplicated func(id detector.AgentID, addr, refused netip.Addr)
	Log        *slog.Logger
}

// Link is the agents' manager.
type Link struct {
	method    detector.Method
	clock     *detector.Clock
	report    func(detector.Sighting)
	setInfo   func(detector.AgentID, detector.Info)
	onRefused func(Refusal)

	onDuplicated func(id detector.AgentID, addr, refused netip.Addr)

	log       *rateLimitedLog
	addr      netip.AddrPort
	tcp       *os.File     // the listener; nil without TCP
	udp       *net.UDPConn // nil without UDP
	registry  *registry
	verify    bool
	questions *questioner
	count     counters
	strangers *strangers
	limit     int64 // of TCP connections

	goroutines sync.WaitGroup // every goroutine of the link

	poller *poller // of the TCP connections; nil without TCP

	endMu sync.Mutex
	ended bool

	requestsMu sync.Mutex
	requests   map[*peer]*request // over UDP: sent and not confirmed
}

// Listen opens the sockets. The link serves them when it runs.
func Listen(cfg Config) (*Link, error) {
	l := &Link{method: cfg.Method, clock: cfg.Clock, report: cfg.Report, setInfo: cfg.SetInfo, onRefused: cfg.Refused, onDuplicated: cfg.Duplicated,
		log: &rateLimitedLog{Logger: cfg.Log}, registry: newRegistry(cfg.Keys), limit: openConnectionLimit(),
		verify: cfg.Verify, questions: newQuestioner(), requests: make(map[*peer]*request)}
	l.strangers = newStrangers(l.registry.countAgentsAt)
	if cfg.Unsure {
		l.registry.markAllUnsure()
	}
	for _, saved := range cfg.Numbers {
		if err := l.registry.restoreNumbers(saved); err != nil {
			l.log.Warn("the numbers of agents' messages cannot be read: each agent is asked once, and its shutdown is ignored until it answers", "err", err)
		}
	}
	var err error
	addr, version := cfg.Addr, ""
	if addr.Addr().Is4() {
		version = "4" // else 0.0.0.0 would let IPv6 in too
	}
	if cfg.TCP {
		if l.tcp, addr, err = listenTCP("tcp"+version, addr); err == nil {
			l.poller, err = newPoller()
		}
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("listen for agents on %v/tcp: %w", addr, unwrapErrno(err))
		}
	}
	if cfg.UDP {
		if l.udp, err = net.ListenUDP("udp"+version, net.UDPAddrFromAddrPort(addr)); err != nil {
			l.Close()
			return nil, fmt.Errorf("listen for agents on %v/udp: %w", addr, unwrapErrno(err))
		}
		_ = l.udp.SetReadBuffer(datagramBuffer) // the system may grant less
		addr = l.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	l.addr = addr
	return l, nil
}

// unwrapErrno strips what an error of package net repeats about the address.
func unwrapErrno(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// Addr returns the address on which the link listens.
func (l *Link) Addr() netip.AddrPort { return l.addr }

// Close closes the sockets of a link that never ran.
func (l *Link) Close() {
	if l.tcp != nil {
		_ = l.tcp.Close()
	}
	if l.udp != nil {
		_ = l.udp.Close()
	}
	if l.poller != nil {
		l.poller.close()
	}
}

// Run serves agents until ctx ends, then closes every connection and waits for
// its goroutines. It may be called once.
func (l *Link) Run(ctx context.Context) {
	if l.tcp != nil {
		l.goroutines.Go(l.acceptConns)
		l.goroutines.Go(func() { l.watchConnDeadlines(ctx.Done()) })
		l.goroutines.Go(l.servePoller)
	}
	if l.udp != nil {
		l.goroutines.Go(l.readDatagrams)
		l.goroutines.Go(func() { l.repeatUnconfirmedRequests(ctx.Done()) })
	}
	<-ctx.Done()
	l.endMu.Lock()
	l.ended = true
	l.endMu.Unlock()
	l.Close()
	l.goroutines.Wait()
}

// startGoroutine starts a goroutine that Run waits for. It reports false, and does
// nothing, once Run has begun to end.
func (l *Link) startGoroutine(f func()) bool {
	l.endMu.Lock()
	defer l.endMu.Unlock()
	if !l.ended {
		l.goroutines.Go(f)
	}
	return !l.ended
}

// SetKeys replaces the keys by a new reading of client.keys. Agents whose line did not
// change stay connected; the others must connect again with their new key.
func (l *Link) SetKeys(keys *clientkeys.Set) {
	for _, p := range l.registry.setKeys(keys) {
		_ = l.containPanic(p.address(), func() error {
			if p.conn == nil {
				l.registry.removePeer(p, func() {})
			}
			p.endConn()
			return nil
		})
	}
}

// ErrNotConnected is the error of a keep-alive to an agent without a peer.
var ErrNotConnected = errors.New("the agent is not connected")

// KeepAlive sends an agent the keep-alive with a token. It does not wait for
// the agent, nor for the network.
func (l *Link) KeepAlive(id detector.AgentID, token uint32) error {
	p := l.registry.peerOf(id)
	if p == nil {
		return ErrNotConnected
	}
	err := l.containPanic(p.address(), func() error {
		return withCodec(func(c *codec) error {
			c.text = appendKeepAlive(c.text[:0], l.method, token, p.name, time.Now().Unix())
			if p.conn == nil && l.method == detector.Request {
				l.trackUnconfirmedRequest(p, token, c.text) // first: the confirmation may arrive before sendToPeer returns
			}
			return l.sendToPeer(p, c, c.text)
		})
	})
	if _, panicked := errors.AsType[*panicError](err); panicked {
		p.endConn()
	}
	if isConnGone(err) {
		return ErrNotConnected // its goroutine is about to report the end
	}
	return err
}

// Stats counts what happened on a link since it started.
type Stats struct {
	Connections int64            `json:"connections"`      // open TCP connections now
	Agents      int              `json:"agents"`           // agents with a peer now: a connection, or a UDP address
	Accepted    int64            `json:"accepted"`         // TCP connections ever
	KeepAlives  int64            `json:"keepalives"`       // agents' own keep-alives, each acknowledged
	Events      int64            `json:"events"`           // other messages, which this link drops
	Answers     int64            `json:"answers"`          // answers to requests
	Unknown     int64            `json:"unknown_messages"` // control messages that a manager does not know
	Pings       int64            `json:"pings"`            // #ping
	Refused     map[string]int64 `json:"refused"`          // by reason
	Questions   int64            `json:"questions"`        // asked of agents whose messages were not newer than all before, or may be old ones
	Proofs      int64            `json:"proofs"`           // answers to them
	Panics      int64            `json:"panics"`           // faults of the link itself, each of which ended one peer's connection
}

type counters struct {
	connections, accepted                       atomic.Int64
	keepAlives, events, answers, unknown, pings atomic.Int64
	refused                                     [refusals]atomic.Int64
	panics, questions, proofs                   atomic.Int64
}

// Stats returns the counts so far.
func (l *Link) Stats() Stats {
	c := &l.count
	s := Stats{Connections: c.connections.Load(), Agents: l.registry.countPeers(), Accepted: c.accepted.Load(),
		KeepAlives: c.keepAlives.Load(), Events: c.events.Load(), Answers: c.answers.Load(), Unknown: c.unknown.Load(),
		Pings: c.pings.Load(), Refused: make(map[string]int64, refusals), Panics: c.panics.Load(),
		Questions: c.questions.Load(), Proofs: c.proofs.Load()}
	for why := range refusals {
		s.Refused[why.String()] = c.refused[why].Load()
	}
	return s
}
