package managersim

import (
	"io"
	"net"
	"sync"
)

// daemon is what one of the manager's programs is to the others: sockets,
// connections and goroutines that end together when it stops.
type daemon struct {
	mu   sync.Mutex
	open map[io.Closer]struct{} // nil: it does not run
	quit chan struct{}          // closed when it stops
	work sync.WaitGroup
}

func (d *daemon) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open, d.quit = make(map[io.Closer]struct{}), make(chan struct{})
}

// stop ends all there is, and waits for it. Stopping twice does nothing.
func (d *daemon) stop() {
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

// hold lets c end with the daemon. If that has stopped, c ends now, and hold reports false.
func (d *daemon) hold(c io.Closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		_ = c.Close()
		return false
	}
	d.open[c] = struct{}{}
	return true
}

// release closes c.
func (d *daemon) release(c io.Closer) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	_ = c.Close()
}

// spin runs f in a goroutine that stop waits for, unless the daemon has stopped.
func (d *daemon) spin(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		d.work.Go(f)
	}
}

// accept serves a listener's connections one after the other; serve may leave one to a goroutine.
func (d *daemon) accept(l net.Listener, serve func(net.Conn)) {
	if !d.hold(l) {
		return
	}
	d.spin(func() {
		defer d.release(l)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if d.hold(conn) {
				serve(conn)
			}
		}
	})
}
