package agentsim

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"
)

var errCut = errors.New("the network is cut")

// dialManager connects to the manager. It fails while the network is cut and
// when the run is over.
func (a *agent) dialManager() (net.Conn, error) {
	f := a.fleet
	select {
	case f.dials <- struct{}{}:
	case <-f.ctx.Done():
		return nil, f.ctx.Err()
	}
	defer func() { <-f.dials }()
	if a.currentLifecycle().cut {
		return nil, errCut
	}
	if a.from != nil {
		return f.dialFrom(f.ctx, a.from)
	}
	return f.dial(f.ctx)
}

// dialFrom connects from an address; nil for any.
func (f *Fleet) dialFrom(ctx context.Context, from net.Addr) (net.Conn, error) {
	dialer := net.Dialer{Timeout: f.cfg.StartupTimeout, KeepAlive: -1, LocalAddr: from}
	return dialer.DialContext(ctx, f.cfg.Network, f.cfg.Manager)
}

// hostAddr returns the source address of the agent with the given number, from
// 0, when each has its own: 127.1.0.1 and on.
func (f *Fleet) hostAddr(n int) net.Addr {
	n++
	ip := net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))
	if f.stream {
		return &net.TCPAddr{IP: ip}
	}
	return &net.UDPAddr{IP: ip}
}

// setConn sets the connection that a change of the lifecycle interrupts.
func (a *agent) setConn(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.liveConn = conn
}

// closeConn closes the agent's connection, after it has written the last
// message if there is one. While the network is cut the manager notices
// nothing of it. It never notices that a datagram socket is closed.
func (a *agent) closeConn(last []byte) {
	a.mu.Lock()
	conn := a.liveConn
	a.liveConn = nil // nothing interrupts the write below
	cut := a.lifecycle.cut
	unseen := cut && !a.lifecycle.over && a.fleet.stream
	if unseen {
		a.abandoned = append(a.abandoned, conn)
	}
	a.mu.Unlock()
	if unseen {
		return
	}
	if len(last) > 0 && !cut {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		conn.Write(last)
	}
	conn.Close()
}

// jitter returns a random duration between d/2 and d, so that agents that were
// refused together do not come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
