package attach

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The multicast groups of sock_diag(7) that announce the end of a TCP connection
// (linux/sock_diag.h, enum sknetlink_groups), as bits.
const (
	groupTCPDestroy  = 1 << 0 // SKNLGRP_INET_TCP_DESTROY, group 1
	groupTCP6Destroy = 1 << 2 // SKNLGRP_INET6_TCP_DESTROY, group 3
)

const (
	// announceBuffer is the room for announcements that wait to be read: ten
	// thousand connections that end at once. The system may grant less.
	announceBuffer = 8 << 20
	// announceMessage is more than one of them takes.
	announceMessage = 1 << 16
)

// announcements subscribes to the ends of this host's TCP connections. It takes
// no special right.
func announcements() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, announceBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupTCPDestroy | groupTCP6Destroy}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("subscribe to the ends of connections: %w", err)
	}
	return os.NewFile(uintptr(fd), "sock_diag"), nil
}

// listen hears the announcements until ctx ends. Where too many came at once,
// some are lost; then the agents' own silence tells.
func (d *door) listen(ctx context.Context, ends *os.File) {
	stop := context.AfterFunc(ctx, func() { _ = ends.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = ends.Close() }() // it was only read
	buf := make([]byte, announceMessage)
	complained := false
	for ctx.Err() == nil {
		n, err := ends.Read(buf)
		if err == nil {
			err = parseAnnouncements(buf[:n], d.serves, d.left)
		}
		if errors.Is(err, unix.EINTR) || err == nil || ctx.Err() != nil {
			continue
		}
		if !complained {
			complained = true
			d.log.Warn("some ends of connections were not heard: their agents' silence will tell", "problem", err.Error())
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// The layout of an announcement: a netlink header (netlink(7)) and an
// inet_diag_msg (sock_diag(7)). Numbers are in the host's byte order, but for
// ports and addresses.
const (
	netlinkHeader    = 16
	netlinkAlignment = 4
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagFamily       = 0
	diagNearPort     = 4
	diagFarPort      = 6
	diagFarAddr      = 24
	diagLeast        = 72
)

// parseAnnouncements reads messages of the kernel and tells the far ends of
// connections to the ports that are served.
func parseAnnouncements(b []byte, serves func(uint16) bool, found func(netip.AddrPort)) error {
	for len(b) >= netlinkHeader {
		size := int(min(binary.NativeEndian.Uint32(b), 1<<30))
		if size < netlinkHeader || size > len(b) {
			return fmt.Errorf("a netlink message of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint16(b[4:]) == sockDiagByFamily {
			if err := parseDiag(b[netlinkHeader:size], serves, found); err != nil {
				return err
			}
		}
		b = b[min((size+netlinkAlignment-1)&^(netlinkAlignment-1), len(b)):]
	}
	return nil
}

func parseDiag(m []byte, serves func(uint16) bool, found func(netip.AddrPort)) error {
	if len(m) < diagLeast {
		return fmt.Errorf("an announcement of %d bytes, and %d is the least", len(m), diagLeast)
	}
	if !serves(binary.BigEndian.Uint16(m[diagNearPort:])) {
		return nil
	}
	size := 4
	if m[diagFamily] == unix.AF_INET6 {
		size = 16
	} else if m[diagFamily] != unix.AF_INET {
		return nil
	}
	addr, _ := netip.AddrFromSlice(m[diagFarAddr : diagFarAddr+size]) // its length is right
	found(netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(m[diagFarPort:])))
	return nil
}
