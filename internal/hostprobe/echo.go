package hostprobe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	protocolICMP   = 1 // IANA's numbers
	protocolICMPv6 = 58

	echoData = 16 // random bytes of a request
	// maxReply is more than a reply has; a longer one is cut off, and does not match.
	maxReply = 64
)

// echoRequest is an echo request, and what its reply has to have.
type echoRequest struct {
	protocol int
	id, seq  int
	data     [echoData]byte
}

func newEchoRequest(addr netip.Addr, id int) *echoRequest {
	r := &echoRequest{protocol: protocolICMP, id: id}
	if addr.Is6() {
		r.protocol = protocolICMPv6
	}
	var random [2 + echoData]byte
	_, _ = rand.Read(random[:]) // it never fails
	r.seq = int(binary.BigEndian.Uint16(random[:]))
	copy(r.data[:], random[2:])
	return r
}

// marshal returns the request's bytes. The kernel sets the checksum of ICMPv6.
func (r *echoRequest) marshal() ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: r.id, Seq: r.seq, Data: r.data[:]}}
	if r.protocol == protocolICMPv6 {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	return m.Marshal(nil)
}

// isAnsweredBy reports whether an ICMP message is the reply to this very request.
func (r *echoRequest) isAnsweredBy(b []byte) bool {
	m, err := icmp.ParseMessage(r.protocol, b)
	if err != nil || m.Code != 0 || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.ID == r.id && echo.Seq == r.seq && bytes.Equal(echo.Data, r.data[:])
}

// openEchoSocket opens a socket for echo requests to an address. It needs no right where the group of the process is
// within net.ipv4.ping_group_range, which holds for IPv6 too.
func openEchoSocket(addr netip.Addr) (*icmp.PacketConn, error) {
	if addr.Is6() {
		return icmp.ListenPacket("udp6", "::")
	}
	return icmp.ListenPacket("udp4", "0.0.0.0")
}

// pingHost sends one echo request, and waits for its reply until ctx ends. The socket is not connected, so that ICMP
// errors do not end it.
func pingHost(ctx context.Context, addr netip.Addr) attempt {
	a := attempt{how: "icmp"}
	conn, err := openEchoSocket(addr)
	if err != nil {
		a.err = err
		return a
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	if local == nil {
		return a
	}
	request := newEchoRequest(addr, local.Port) // a socket's port is the identifier, which the kernel has chosen
	b, err := request.marshal()
	if err == nil {
		_, err = conn.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	}
	if err != nil {
		a.err = err
		return a
	}
	a.asked = true
	a.answered = waitForReply(conn, addr, request)
	return a
}

// waitForReply reads until the reply is there, or the socket's deadline.
func waitForReply(conn *icmp.PacketConn, addr netip.Addr, request *echoRequest) bool {
	var buf [maxReply]byte
	for {
		n, from, err := conn.ReadFrom(buf[:])
		if err != nil {
			return false
		}
		if sender, ok := from.(*net.UDPAddr); ok && sender.AddrPort().Addr().Unmap() == addr && request.isAnsweredBy(buf[:n]) {
			return true
		}
	}
}

// CheckPing reports why this process can send no echo requests over IPv4; nil if it can.
func CheckPing() error {
	conn, err := openEchoSocket(netip.IPv4Unspecified())
	if err != nil {
		return err
	}
	return conn.Close()
}
