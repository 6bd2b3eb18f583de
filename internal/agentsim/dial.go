package agentsim

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"
)

var errCut = errors.New("the network is cut")

// dial connects to the manager, or fails because the network is cut or the run over.
func (a *agent) dial() (net.Conn, error) {
	f := a.fleet
	select {
	case f.dials <- struct{}{}:
	case <-f.ctx.Done():
		return nil, f.ctx.Err()
	}
	defer func() { <-f.dials }()
	if a.look().cut {
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

// hostAddr is the address of the agent with the given number, from 0, when each
// has its own: 127.1.0.1 and on.
func (f *Fleet) hostAddr(n int) net.Addr {
	n++
	ip := net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))
	if f.stream {
		return &net.TCPAddr{IP: ip}
	}
	return &net.UDPAddr{IP: ip}
}

// hold makes conn the connection that a change of fate interrupts.
func (a *agent) hold(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live = conn
}

// part ends the agent's side of its connection, after the last message if there
// is one. Behind a cut network the manager sees nothing of it before the network
// heals. A datagram socket's end is never seen.
func (a *agent) part(last []byte) {
	a.mu.Lock()
	conn := a.live
	a.live = nil // from here on nobody interrupts the write below
	cut := a.fate.cut
	unseen := cut && !a.fate.over && a.fleet.stream
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

// jitter returns a duration between d/2 and d, so that agents refused together
// do not come back together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
