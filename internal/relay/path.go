package relay

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Path is an address that leads to a server.
type Path struct {
	addr   string
	target string

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	conns    map[net.Conn]struct{}
	frozen   chan struct{} // closed when bytes pass again; nil while they do
	delay    time.Duration
	work     *sync.WaitGroup // of the listener
}

// OpenPath opens a path to a server, from a free port of loopback.
func OpenPath(target string) (*Path, error) {
	p := &Path{addr: "127.0.0.1:0", target: target, conns: make(map[net.Conn]struct{})}
	if err := p.SetCut(false); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where it begins, host:port, whether it is cut or not.
func (p *Path) Addr() string { return p.addr }

// Close cuts it for ever.
func (p *Path) Close() { p.endConns() }

// SetCut ends all connections, whose sides see that, and refuses new ones; or takes them again.
func (p *Path) SetCut(cut bool) error {
	if cut {
		p.endConns()
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("open a path: %w", err)
	}
	p.addr, p.listener, p.work = l.Addr().String(), l, new(sync.WaitGroup)
	work := p.work
	work.Go(func() { p.acceptConns(l, work) })
	return nil
}

func (p *Path) endConns() {
	p.mu.Lock()
	l, work := p.listener, p.work
	p.listener = nil
	for c := range p.conns {
		_ = c.Close()
	}
	p.thaw()
	p.mu.Unlock()
	if l != nil {
		_ = l.Close()
		work.Wait()
	}
}

// SetFrozen has nothing pass, which neither side sees, or lets it pass again, in order.
func (p *Path) SetFrozen(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !frozen {
		p.thaw()
	} else if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

func (p *Path) thaw() {
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// SetDelay has each piece arrive so much later.
func (p *Path) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// SetTarget sets where later connections lead.
func (p *Path) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *Path) acceptConns(l net.Listener, work *sync.WaitGroup) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		work.Go(func() { p.carry(l, from) })
	}
}

func (p *Path) carry(l net.Listener, from net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	to, err := net.Dial("tcp", target)
	if err != nil {
		_ = from.Close()
		return
	}
	if !p.addConns(l, from, to) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.copyBytes(from, to) })
	p.copyBytes(to, from)
	back.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
	delete(p.conns, to)
}

// addConns reports whether the path is not cut.
func (p *Path) addConns(l net.Listener, both ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range both {
		if p.listener != l {
			_ = c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return p.listener == l
}

// copyBytes copies until a side ends, and then ends the other.
func (p *Path) copyBytes(to, from net.Conn) {
	defer to.Close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		p.awaitPassage()
		if _, failed := to.Write(piece[:n]); errors.Join(err, failed) != nil {
			return
		}
	}
}

// awaitPassage waits for the path's delay, and while it is frozen.
func (p *Path) awaitPassage() {
	p.mu.Lock()
	delay, frozen := p.delay, p.frozen
	p.mu.Unlock()
	if delay > 0 {
		<-time.After(delay)
	}
	if frozen != nil {
		<-frozen
	}
}
