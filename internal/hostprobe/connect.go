package hostprobe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// notHosts are networks of which no address is that of one host, beside what netip knows.
var notHosts = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),   // this network, RFC 791
	netip.MustParsePrefix("240.0.0.0/4"), // reserved, and the limited broadcast address, RFC 1112
}

// IsProbeable reports whether an address can be that of one host. A zone, and an address of a link, which has a meaning
// with a zone only, are refused: they may come from an agent. Loopback is not: agents may run on this host. The kernel
// refuses the broadcast addresses of this host's own networks.
func IsProbeable(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	return !addr.IsUnspecified() && !addr.IsMulticast() && !(addr.Is6() && addr.IsLinkLocalUnicast()) &&
		!slices.ContainsFunc(notHosts, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// connectPort opens one TCP connection, and closes it. That it is refused is an answer too, if a segment of the host
// refused it: the kernel reports a router's "port unreachable" by the same error.
func connectPort(ctx context.Context, addr netip.Addr, port int) attempt {
	a := attempt{how: "tcp:" + strconv.Itoa(port)}
	counts := -1 // the socket once more: the dialer closes its own before its counts could be read
	defer func() { closeSocket(counts) }()
	dialer := net.Dialer{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			closeSocket(counts)
			if copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
				counts = copied
			}
		})
	}}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, uint16(port)).String())
	if err == nil {
		_ = conn.Close()
		a.asked, a.answered = true, true
		a.how += " open"
		return a
	}
	sent, received := countSegments(counts)
	a.asked = sent > 0
	if !a.asked {
		a.err = err
	}
	if (errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)) && received > 0 {
		a.answered = true
		a.how += " refused"
	}
	return a
}

// countSegments returns how many segments a TCP socket has sent and received.
func countSegments(fd int) (sent, received uint32) {
	if fd < 0 {
		return 0, 0
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0
	}
	return info.Segs_out, info.Segs_in
}

func closeSocket(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}
