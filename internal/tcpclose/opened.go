package tcpclose

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

const (
	// openedPeriod is the least time between two lists of the open connections.
	openedPeriod = 250 * time.Millisecond
	// openedShare is the part of the time that making them may take: one in so many.
	openedShare = 20
)

// WatchOpened calls opened with how many connections to the ports that are watched were opened
// since it did so last, until ctx ends. The kernel does not announce that: the open
// connections are listed four times a second, or as often as that is cheap.
func (w *Watcher) WatchOpened(ctx context.Context, watched func(port uint16) bool, opened func(n int)) {
	list, period := readConnections, pollPeriod
	if d, err := openDump(); err == nil && !w.Poll {
		defer func() { _ = d.file.Close() }() // it was only read
		list, period = d.listConnections, openedPeriod
	}
	var known map[netip.AddrPort]bool
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		now, err := list(watched)
		if err == nil {
			if n := countNew(known, now); known != nil && n > 0 {
				opened(n)
			}
			known = now
		}
		timer.Reset(max(period, openedShare*time.Since(began)))
	}
}

func countNew(before, now map[netip.AddrPort]bool) (n int) {
	for remote := range now {
		if !before[remote] {
			n++
		}
	}
	return n
}

// dump asks the kernel for the list of open connections: sock_diag(7).
type dump struct {
	file *os.File
	buf  []byte
	seq  uint32
}

// dumpTimeout is how long one list may take.
const dumpTimeout = 5 * time.Second

func openDump() (*dump, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind a netlink socket: %w", err)
	}
	d := &dump{file: os.NewFile(uintptr(fd), "sock_diag"), buf: make([]byte, maxAnnouncement)}
	if _, err := d.listConnections(func(uint16) bool { return false }); err != nil {
		_ = d.file.Close()
		return nil, err
	}
	return d, nil
}

// listConnections returns the remote ends of the connections to the ports that are watched.
func (d *dump) listConnections(watched func(uint16) bool) (map[netip.AddrPort]bool, error) {
	all := make(map[netip.AddrPort]bool)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := d.listFamily(family, watched, func(remote netip.AddrPort) { all[remote] = true }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (d *dump) listFamily(family byte, watched func(uint16) bool, found func(netip.AddrPort)) error {
	d.seq++
	_ = d.file.SetDeadline(time.Now().Add(dumpTimeout))
	if _, err := d.file.Write(appendDumpRequest(nil, family, d.seq)); err != nil {
		return fmt.Errorf("ask for the list of connections: %w", err)
	}
	for {
		n, err := d.file.Read(d.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the list of connections: %w", err)
		}
		if done, err := parseDump(d.buf[:n], d.seq, watched, found); done || err != nil {
			return err
		}
	}
}

// The layout of a request: a netlink header and an inet_diag_req_v2, whose address is not used.
const (
	netlinkDump    = unix.NLM_F_REQUEST | unix.NLM_F_DUMP
	dumpRequest    = netlinkHeader + 56
	requestFamily  = netlinkHeader
	requestProto   = netlinkHeader + 1
	requestStates  = netlinkHeader + 4
	tcpEstablished = 1
)

func appendDumpRequest(b []byte, family byte, seq uint32) []byte {
	m := make([]byte, dumpRequest)
	binary.NativeEndian.PutUint32(m, dumpRequest)
	binary.NativeEndian.PutUint16(m[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(m[6:], netlinkDump)
	binary.NativeEndian.PutUint32(m[8:], seq)
	m[requestFamily], m[requestProto] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(m[requestStates:], 1<<tcpEstablished)
	return append(b, m...)
}

// parseDump parses messages of the kernel that answer a request, and calls found with the
// remote ends of connections to the ports that are watched. It reports whether the list is
// complete. What is of another request is left out.
func parseDump(b []byte, seq uint32, watched func(uint16) bool, found func(netip.AddrPort)) (done bool, err error) {
	for len(b) >= netlinkHeader {
		size := int(min(binary.NativeEndian.Uint32(b), 1<<30))
		if size < netlinkHeader || size > len(b) {
			return false, fmt.Errorf("a netlink message of %d bytes in %d", size, len(b))
		}
		if binary.NativeEndian.Uint32(b[8:]) == seq {
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				return false, errors.New("the kernel refuses to list the connections")
			case sockDiagByFamily:
				if err := parseDiag(b[netlinkHeader:size], watched, found); err != nil {
					return false, err
				}
			}
		}
		b = b[min((size+netlinkAlignment-1)&^(netlinkAlignment-1), len(b)):]
	}
	return false, nil
}
