package managersim

import (
	"io"
	"net"
	"sync"
)

// daemon is what the manager's programs have in common: sockets, connections
// and goroutines that end together when it stops.
type daemon struct {
	mu   sync.Mutex
	open map[io.Closer]struct{} // nil while it does not run
	quit chan struct{}          // closed when it stops
	work sync.WaitGroup
}

func (d *daemon) markRunning() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open, d.quit = make(map[io.Closer]struct{}), make(chan struct{})
}

// stopAndWait closes everything and waits for the goroutines. Stopping twice
// does nothing.
func (d *daemon) stopAndWait() {
	d.mu.Lock()
	open := d.open
	if open != nil {
		close(d.quit)
	}
	d.open = nil
	d.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
	d.work.Wait()
}

// registerCloser makes c end with the daemon. If that has stopped, it closes c
// and returns false.
func (d *daemon) registerCloser(c io.Closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		_ = c.Close()
		return false
	}
	d.open[c] = struct{}{}
	return true
}

// closeAndForget closes c.
func (d *daemon) closeAndForget(c io.Closer) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	_ = c.Close()
}

// goRun runs f in a goroutine that stopAndWait waits for, unless the daemon
// has stopped.
func (d *daemon) goRun(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		d.work.Go(f)
	}
}

// acceptConns serves a listener's connections one after the other; serve may
// start a goroutine for one.
func (d *daemon) acceptConns(l net.Listener, serve func(net.Conn)) {
	if !d.registerCloser(l) {
		return
	}
	d.goRun(func() {
		defer d.closeAndForget(l)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if d.registerCloser(conn) {
				serve(conn)
			}
		}
	})
}
