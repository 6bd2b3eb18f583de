package testsupport

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Path is an address that leads to a server while it is open.
type Path struct {
	Addr string // the same each time it is opened

	t      testing.TB
	target string
	close  func()
}

// OpenPath opens a path to an address. It is closed at the end of the test.
func OpenPath(t testing.TB, target string) *Path {
	t.Helper()
	p := &Path{Addr: "127.0.0.1:0", t: t, target: target}
	p.Open()
	return p
}

// Open opens a path that was closed.
func (p *Path) Open() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Addr = l.Addr().String()
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

// Close ends all connections through the path, and accepts none.
func (p *Path) Close() { p.close() }
