package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pollersMax is how many goroutines hear connections at most. Each has a buffer.
const pollersMax = 8

func (l *Link) openPollers() error {
	for range min(runtime.GOMAXPROCS(0), pollersMax) {
		p, err := newPoller()
		if err != nil {
			return err
		}
		l.pollers = append(l.pollers, p)
	}
	return nil
}

// rest is how long nobody is accepted when the system has no more to give.
const rest = 50 * time.Millisecond

// accept takes connections until the listener closes. Their sockets are the
// link's own: what package net has for each would weigh more than all else.
func (l *Link) accept() {
	raw, err := l.tcp.SyscallConn()
	if err != nil {
		return // it is closed already
	}
	for next := 0; ; next++ {
		fd, from, err := acceptFrom(raw.Read)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.refused(netip.AddrPort{}, refuse(tooMany, fmt.Errorf("accept a connection: %w", err)))
			time.Sleep(rest)
		case !l.makePlace():
			l.refused(from, refuse(tooMany,
				fmt.Errorf("%d connections are open, as many as the open-file limit allows: raise it (LimitNOFILE=)", l.limit)))
			_ = unix.Close(fd)
		default:
			l.count.connections.Add(1)
			l.count.accepted.Add(1)
			l.enroll(fd, from, l.pollers[next%len(l.pollers)])
		}
	}
}

// acceptFrom waits, by means of a listener's raw connection, for the next connection. What
// the listener's socket is set to, such as TCP keep-alive, holds for it too.
func acceptFrom(wait func(func(uintptr) bool) error) (fd int, from netip.AddrPort, err error) {
	var addr unix.Sockaddr
	closed := wait(func(listener uintptr) bool {
		for {
			fd, addr, err = unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return err != unix.EAGAIN
			}
		}
	})
	if closed != nil {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		from = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return fd, from, err
}

// enroll begins with a connection.
func (l *Link) enroll(fd int, from netip.AddrPort, p *poller) {
	c := &conn{from: from, poller: p}
	c.out = outlet{fd: fd, wake: func(on bool) {
		p.writable(c, on)
		if on {
			p.time(c)
		}
	}}
	c.in.open(time.Now())
	err := l.containPanic(from, func() error {
		l.strangers.add(c)
		p.time(c)
		return p.add(c)
	})
	if err != nil {
		l.finish(c, err)
	}
}

// Go's own for the connections of a listener: a host that is gone is noticed after
// some two and a half minutes.
const (
	probeAfter = 15 // seconds
	probes     = 9
)

// listenTCP returns a listener's socket, which can be waited for, and where it listens.
func listenTCP(network string, addr netip.AddrPort) (*os.File, netip.AddrPort, error) {
	l, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, addr, err
	}
	defer l.Close() // the file is another of the same socket
	if err := inherit(l); err != nil {
		return nil, addr, err
	}
	file, err := l.File()
	if err != nil {
		return nil, addr, err
	}
	return file, netip.AddrPortFrom(addr.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port()), nil
}

// inherit sets on a listener's socket what its connections shall have.
func inherit(l *net.TCPListener) (err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	wrapped := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, probeAfter},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, probeAfter},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes},
		} {
			if err == nil {
				err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		}
	})
	return errors.Join(wrapped, err)
}
