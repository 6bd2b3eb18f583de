package outbox

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy passes bytes between its clients and a target that may change, as well
// as the weather lets it.
type proxy struct {
	l net.Listener

	mu     sync.Mutex
	target string
	fault  networkFault
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

// networkFault is what a network does to bytes.
type networkFault struct {
	silent  bool          // takes connections and bytes, and passes none
	delay   time.Duration // before each piece
	pace    int           // bytes a second in each direction of a connection; 0 for all it takes
	cutting bool          // after cutIn more bytes, all together, the connection that has the next ends in the middle of them
	cutIn   int
}

func newProxy(t testing.TB) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.acceptConns)
	t.Cleanup(func() { l.Close(); p.heal(); p.dropConns(); p.wg.Wait() })
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) setTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) setFault(w networkFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = w
}

// cut makes the network swallow everything; connections stay open.
func (p *proxy) cut() { p.setFault(networkFault{silent: true}) }

// heal lets new connections through. What was swallowed stays lost.
func (p *proxy) heal() { p.setFault(networkFault{}) }

func (p *proxy) dropConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) acceptConns() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		out, err := net.Dial("tcp", target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		if p.target != target { // what dropped the connections did not see this one
			in.Close()
			out.Close()
		}
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			p.wg.Go(func() { p.copyBytes(way[0], way[1]) })
		}
	}
}

// copyBytes copies until an end closes. Once silent, a connection never passes again.
func (p *proxy) copyBytes(from, to net.Conn) {
	defer p.removeConn(from)
	defer to.Close()
	buf := make([]byte, 1<<14)
	for dead := false; ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w, cut := p.takeFault(n)
		dead = dead || w.silent
		if dead {
			continue
		}
		<-time.After(w.delay)
		if cut {
			_, _ = to.Write(buf[:w.cutIn])
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if w.pace > 0 {
			<-time.After(time.Duration(n) * time.Second / time.Duration(w.pace))
		}
	}
}

// takeFault returns the weather for the next n bytes, and whether they are cut.
func (p *proxy) takeFault(n int) (w networkFault, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w = p.fault
	cut = w.cutting && w.cutIn < n
	if cut {
		p.fault.cutting = false
	}
	p.fault.cutIn -= n
	return w, cut
}

func (p *proxy) removeConn(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
