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

	mu      sync.Mutex
	target  string
	weather weather
	conns   map[net.Conn]bool
	wg      sync.WaitGroup
}

// weather is what a network does to bytes.
type weather struct {
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
	p.wg.Go(p.accept)
	t.Cleanup(func() { l.Close(); p.heal(); p.drop(); p.wg.Wait() })
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

func (p *proxy) turn(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
}

// cut makes the network swallow everything; connections stay open.
func (p *proxy) cut() { p.turn(weather{silent: true}) }

// heal lets new connections through. What was swallowed stays lost.
func (p *proxy) heal() { p.turn(weather{}) }

func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) accept() {
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
			p.wg.Go(func() { p.pass(way[0], way[1]) })
		}
	}
}

// pass copies until an end closes. Once silent, a connection never passes again.
func (p *proxy) pass(from, to net.Conn) {
	defer p.forget(from)
	defer to.Close()
	buf := make([]byte, 1<<14)
	for dead := false; ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w, cut := p.take(n)
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

// take returns the weather for the next n bytes, and whether they are cut.
func (p *proxy) take(n int) (w weather, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w = p.weather
	cut = w.cutting && w.cutIn < n
	if cut {
		p.weather.cutting = false
	}
	p.weather.cutIn -= n
	return w, cut
}

func (p *proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
