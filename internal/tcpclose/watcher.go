// Package tcpclose finds out when TCP connections to ports of this host end, whichever
// process serves them: the kernel announces that on a netlink socket, and where it does
// not, the list of connections in /proc is compared with that of a second before.
//
// [Watcher.Run] works in the goroutine that calls it, and so do the functions that are
// given to it. It takes no special right.
package tcpclose

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pollPeriod is the time between two readings of the list of connections, where the
// kernel does not announce their ends.
const pollPeriod = time.Second

// Watcher watches connections.
type Watcher struct {
	Poll bool // do not ask the kernel for announcements
	Log  *slog.Logger

	announced atomic.Bool
}

// IsAnnounced reports whether the kernel announces the ends of connections now. It may
// be called concurrently.
func (w *Watcher) IsAnnounced() bool { return w.announced.Load() }

// Run calls closed with the remote end of each connection that ends, of those to a
// port that is watched, until ctx ends.
func (w *Watcher) Run(ctx context.Context, watched func(port uint16) bool, closed func(netip.AddrPort)) {
	if !w.Poll {
		socket, err := openAnnouncements()
		if err == nil {
			w.announced.Store(true)
			w.readAnnouncements(ctx, socket, watched, closed)
			w.announced.Store(false)
			return
		}
		w.Log.Warn("the kernel does not announce the ends of connections: looking every second", "err", err)
	}
	w.pollConnections(ctx, watched, closed)
}

// readAnnouncements reads the announcements until ctx ends. Where too many come at
// once, some are lost; then the agents' own silence has to be enough.
func (w *Watcher) readAnnouncements(ctx context.Context, socket *os.File, watched func(uint16) bool, closed func(netip.AddrPort)) {
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = socket.Close() }() // it was only read
	buf := make([]byte, maxAnnouncement)
	logged := false
	for ctx.Err() == nil {
		n, err := socket.Read(buf)
		if err == nil {
			err = parseAnnouncements(buf[:n], watched, closed)
		}
		if errors.Is(err, unix.EINTR) || err == nil || ctx.Err() != nil {
			continue
		}
		if !logged {
			logged = true
			w.Log.Warn("some ends of connections were missed: their agents are found by their silence", "err", err)
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// pollConnections compares the list of connections with the one a second before.
func (w *Watcher) pollConnections(ctx context.Context, watched func(uint16) bool, closed func(netip.AddrPort)) {
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	var before map[netip.AddrPort]bool
	failing := false
	for {
		now, err := readConnections(watched)
		switch {
		case err == nil:
			for remote := range before {
				if !now[remote] {
					closed(remote)
				}
			}
			before, failing = now, false
		case !failing:
			failing = true
			w.Log.Error("the agents' connections cannot be read", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// The multicast groups of sock_diag(7) that announce the end of a TCP connection
// (linux/sock_diag.h, enum sknetlink_groups), as bits.
const (
	groupTCPDestroy  = 1 << 0 // SKNLGRP_INET_TCP_DESTROY, group 1
	groupTCP6Destroy = 1 << 2 // SKNLGRP_INET6_TCP_DESTROY, group 3
)

const (
	// announcementBuffer is how many bytes of announcements may wait to be read: ten
	// thousand connections that end at once. The system may grant less.
	announcementBuffer = 8 << 20
	// maxAnnouncement is more than one message has.
	maxAnnouncement = 1 << 16
)

// openAnnouncements subscribes to the ends of this host's TCP connections.
func openAnnouncements() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, announcementBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groupTCPDestroy | groupTCP6Destroy}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("subscribe to the ends of connections: %w", err)
	}
	return os.NewFile(uintptr(fd), "sock_diag"), nil
}

// The layout of an announcement: a netlink header (netlink(7)) and an
// inet_diag_msg (sock_diag(7)). Numbers are in the host's byte order, but for
// ports and addresses.
const (
	netlinkHeader    = 16
	netlinkAlignment = 4
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagFamily       = 0
	diagLocalPort    = 4
	diagRemotePort   = 6
	diagRemoteAddr   = 24
	minDiag          = 72
)

// parseAnnouncements parses messages of the kernel, and calls closed with the remote
// ends of connections to the ports that are watched.
func parseAnnouncements(b []byte, watched func(uint16) bool, closed func(netip.AddrPort)) error {
	for len(b) >= netlinkHeader {
		size := int(min(binary.NativeEndian.Uint32(b), 1<<30))
		if size < netlinkHeader || size > len(b) {
			return fmt.Errorf("a netlink message of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint16(b[4:]) == sockDiagByFamily {
			if err := parseDiag(b[netlinkHeader:size], watched, closed); err != nil {
				return err
			}
		}
		b = b[min((size+netlinkAlignment-1)&^(netlinkAlignment-1), len(b)):]
	}
	return nil
}

func parseDiag(m []byte, watched func(uint16) bool, closed func(netip.AddrPort)) error {
	if len(m) < minDiag {
		return fmt.Errorf("an announcement of %d bytes, and %d is the least", len(m), minDiag)
	}
	if !watched(binary.BigEndian.Uint16(m[diagLocalPort:])) {
		return nil
	}
	size := 4
	if m[diagFamily] == unix.AF_INET6 {
		size = 16
	} else if m[diagFamily] != unix.AF_INET {
		return nil
	}
	addr, _ := netip.AddrFromSlice(m[diagRemoteAddr : diagRemoteAddr+size]) // its length is right
	closed(netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(m[diagRemotePort:])))
	return nil
}
