package presence

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// path leads to a server, while it is open.
type path struct {
	t      *testing.T
	target string
	addr   string
	close  func()
}

func (p *path) open() {
	p.t.Helper()
	if p.addr == "" {
		p.addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr = l.Addr().String()
	var mu sync.Mutex
	var conns []net.Conn
	closed := false
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = from.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, from, to)
			if closed {
				_, _ = from.Close(), to.Close()
			}
			mu.Unlock()
			running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			running.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
	p.close = sync.OnceFunc(func() {
		_ = l.Close()
		mu.Lock()
		closed = true
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	p.t.Cleanup(p.close)
}

// Consumers refuse the lower epoch by then: so the one that was away waits.
func TestANodeThatWasAwayWaitsForTheOneThatTookOver(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	way := &path{t: t, target: srv.Addr().String()}
	way.open()
	quick := func(t *timing) {
		t.alone, t.settle, t.gone = 100*time.Millisecond, 300*time.Millisecond, 2*time.Second
	}
	older := joinNodeAt(t, "nats://"+way.addr, 100, quick)
	older.waitForAdmission()
	younger := joinNode(t, srv, 101, quick)
	younger.waitForState("held", held)
	way.close()
	session := younger.waitForAdmission()
	younger.waitForState("alone", alone)
	way.open()
	older.waitForState("held", held)
	younger.waitForState("first", first)
	if older.isPublishing() || session.Reason() != nil {
		t.Errorf("the one that was away publishes; the other: %v", session.Reason())
	}
	younger.stopNode()
	older.waitForAdmission()
}
