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
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// datagramBuffer is the room for datagrams that wait to be read: a fleet of ten
// thousand that comes back in the same moment.
const datagramBuffer = 4 << 20

// Config says where to listen, who may come and who is told.
type Config struct {
	Addr     netip.AddrPort // port 0: a free one, the same for TCP and UDP
	TCP, UDP bool
	Method   detector.Method // of keep-alives
	Keys     *clientkeys.Set
	Numbers  [][]byte // what [Link.Numbers] returned in the life of the node before; none in its first
	Unsure   bool     // agents may have sent messages that are not among them
	Clock    *detector.Clock
	Verify   bool                    // messages whose counter is not newer than all before prove nothing until their sender has answered a question
	Report   func(detector.Sighting) // called from many goroutines; may make them wait
	Refused  func(Refusal)           // hears of every refusal, from many goroutines, as often as strangers like; nil for nobody
	Log      *slog.Logger
}

// Link is the agents' manager.
type Link struct {
	method    detector.Method
	clock     *detector.Clock
	report    func(detector.Sighting)
	tell      func(Refusal)
	log       *slog.Logger
	addr      netip.AddrPort
	tcp       *os.File     // the listener; nil without TCP
	udp       *net.UDPConn // nil without UDP
	registry  *registry
	notices   *notices
	panics    panicLog
	verify    bool
	questions *questioner
	count     counters
	strangers *strangers
	limit     int64 // of TCP connections

	work sync.WaitGroup // every goroutine of the link

	pollers []*poller // of the TCP connections

	endMu sync.Mutex
	ended bool

	repeatMu sync.Mutex
	repeat   map[*peer]*request // over UDP: sent and not confirmed
}

// Listen opens the sockets. The link serves them when it runs.
func Listen(cfg Config) (*Link, error) {
	l := &Link{method: cfg.Method, clock: cfg.Clock, report: cfg.Report, tell: cfg.Refused, log: cfg.Log, registry: newRegistry(cfg.Keys),
		notices: &notices{log: cfg.Log}, limit: connectionLimit(), verify: cfg.Verify, questions: newQuestioner(),
		repeat: make(map[*peer]*request)}
	l.strangers = newStrangers(l.registry.agentsAt)
	if cfg.Unsure {
		l.registry.doubtAll()
	}
	for _, saved := range cfg.Numbers {
		if err := l.registry.restoreNumbers(saved); err != nil {
			l.log.Warn("the numbers of agents' messages cannot be read: each agent is asked once, and until then its shutdown is not believed", "err", err)
		}
	}
	var err error
	addr, version := cfg.Addr, ""
	if addr.Addr().Is4() {
		version = "4" // else 0.0.0.0 would let IPv6 in too
	}
	if cfg.TCP {
		if l.tcp, addr, err = listenTCP("tcp"+version, addr); err == nil {
			err = l.openPollers()
		}
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("listen for agents on %v/tcp: %w", addr, cause(err))
		}
	}
	if cfg.UDP {
		if l.udp, err = net.ListenUDP("udp"+version, net.UDPAddrFromAddrPort(addr)); err != nil {
			l.Close()
			return nil, fmt.Errorf("listen for agents on %v/udp: %w", addr, cause(err))
		}
		_ = l.udp.SetReadBuffer(datagramBuffer) // the system may grant less
		addr = l.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	l.addr = addr
	return l, nil
}

// cause strips what an error of package net repeats about the address.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// connectionLimit leaves some of the files a process may open to all else.
func connectionLimit() int64 {
	const others = 256
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Cur < 2*others {
		return others
	}
	return int64(min(files.Cur, 1<<31)) - others
}

// Addr is where the link listens.
func (l *Link) Addr() netip.AddrPort { return l.addr }

// Close closes the sockets of a link that never ran.
func (l *Link) Close() {
	if l.tcp != nil {
		_ = l.tcp.Close()
	}
	if l.udp != nil {
		_ = l.udp.Close()
	}
	for _, p := range l.pollers {
		p.close()
	}
}

// Run serves agents until ctx ends, then closes every connection and waits for
// its goroutines. It may be called once.
func (l *Link) Run(ctx context.Context) {
	if l.tcp != nil {
		l.work.Go(l.accept)
		l.work.Go(func() { l.watch(ctx.Done()) })
		for _, p := range l.pollers {
			l.work.Go(func() { l.serve(p) })
		}
	}
	if l.udp != nil {
		l.work.Go(l.readDatagrams)
		l.work.Go(func() { l.repeatRequests(ctx.Done()) })
	}
	<-ctx.Done()
	l.endMu.Lock()
	l.ended = true
	l.endMu.Unlock()
	l.Close()
	l.work.Wait()
}

// spin starts a goroutine that Run waits for. When Run is past that, it does
// nothing: whoever keeps a connection open then finds it closed.
func (l *Link) spin(f func()) bool {
	l.endMu.Lock()
	defer l.endMu.Unlock()
	if !l.ended {
		l.work.Go(f)
	}
	return !l.ended
}

// refused counts and logs a refusal; other errors, such as the end of a
// connection, it ignores.
func (l *Link) refused(from netip.AddrPort, err error) {
	if r, ok := errors.AsType[*refused](err); ok {
		l.count.refused[r.why].Add(1)
		l.notices.add(from, r)
		if l.tell != nil {
			l.tell(Refusal{from, r.why.String(), r.agent, r.err})
		}
	}
}

// SetKeys takes a new reading of client.keys. Agents whose line did not change
// stay connected; the others have to come again with the key they have now.
func (l *Link) SetKeys(keys *clientkeys.Set) {
	for _, p := range l.registry.setKeys(keys) {
		_ = l.containPanic(p.addr(), func() error {
			if p.conn == nil {
				l.registry.leave(p, func() {})
			}
			p.close()
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
	err := l.containPanic(p.addr(), func() error {
		return withCodec(func(c *codec) error {
			c.text = appendKeepAlive(c.text[:0], l.method, token, p.name, time.Now().Unix())
			if p.conn == nil && l.method == detector.Request {
				l.expect(p, token, c.text) // first: the confirmation may be here before send returns
			}
			return l.send(p, c, c.text)
		})
	})
	if _, panicked := errors.AsType[*panicError](err); panicked {
		p.close()
	}
	if gone(err) {
		return ErrNotConnected // its goroutine is about to say so
	}
	return err
}
