package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// acceptBackoff is the pause after a failed accept, as when file descriptors run out.
const acceptBackoff = 50 * time.Millisecond

// acceptConns accepts connections until the listener closes. It uses bare sockets:
// a net.Conn for each would take more memory than all else that a connection has.
func (l *Link) acceptConns() {
	raw, err := l.tcp.SyscallConn()
	if err != nil {
		return // it is closed already
	}
	for {
		fd, from, err := acceptTCPConn(raw.Read)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.recordRefusal(netip.AddrPort{}, refuse(tooMany, fmt.Errorf("accept a connection: %w", err)))
			time.Sleep(acceptBackoff)
		case !l.freeConnSlot():
			l.recordRefusal(from, refuse(tooMany,
				fmt.Errorf("%d connections are open, as many as the open-file limit allows: raise it (LimitNOFILE=)", l.limit)))
			_ = unix.Close(fd)
		default:
			l.count.connections.Add(1)
			l.count.accepted.Add(1)
			l.startConn(fd, from, l.poller)
		}
	}
}

// acceptTCPConn waits for the next connection, with the Read method of the listener's raw
// connection. The new socket inherits the listener's options, such as TCP keep-alive.
func acceptTCPConn(wait func(func(uintptr) bool) error) (fd int, from netip.AddrPort, err error) {
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

// startConn adds an accepted connection to the strangers and to a poller.
func (l *Link) startConn(fd int, from netip.AddrPort, p *poller) {
	c := &conn{from: from, poller: p}
	c.writer = writeBuffer{fd: fd, setWaiting: func(on bool) {
		p.setWaitWritable(c, on)
		if on {
			p.trackConnDeadline(c)
		}
	}}
	c.reader.startAuthenticationDeadline(time.Now())
	err := l.containPanic(from, func() error {
		l.strangers.addStrangerConn(c)
		p.trackConnDeadline(c)
		return p.addConn(c)
	})
	if err != nil {
		l.closeConn(c, err)
	}
}

// The values that Go sets on the connections of a listener: a host that is gone is
// detected after some two and a half minutes.
const (
	tcpProbeInterval = 15 // seconds
	tcpProbes        = 9
)

// listenTCP opens a listener and returns its socket, in non-blocking mode, and its address.
func listenTCP(network string, addr netip.AddrPort) (*os.File, netip.AddrPort, error) {
	l, err := net.ListenTCP(network, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, addr, err
	}
	defer l.Close() // the file is a duplicate of the descriptor
	if err := setSocketOptions(l); err != nil {
		return nil, addr, err
	}
	file, err := l.File()
	if err != nil {
		return nil, addr, err
	}
	return file, netip.AddrPortFrom(addr.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port()), nil
}

// setSocketOptions sets on a listener's socket the options that its connections inherit.
func setSocketOptions(l *net.TCPListener) (err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	wrapped := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, tcpProbeInterval},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, tcpProbeInterval},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, tcpProbes},
		} {
			if err == nil {
				err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		}
	})
	return errors.Join(wrapped, err)
}
