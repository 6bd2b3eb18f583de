package hostprobe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// netnsVariable is set for the child process in which a test has a network of its own.
const netnsVariable = "HOSTPROBE_TEST_NETWORK"

// runInNetwork runs the calling test once more, in a process with a network namespace of its own, where it returns
// true. It skips the test where the system allows none.
func runInNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(netnsVariable) != "" {
		return true
	}
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=1m")
	child.Env = append(os.Environ(), netnsVariable+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Getuid() != 0 {
		child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	}
	out, err := child.CombinedOutput()
	if child.Process == nil {
		t.Skipf("no network namespace: %v", err)
	}
	if t.Log(string(out)); err != nil {
		t.Fatal(err)
	}
	return false
}

// network plays all that is reached through a TUN device: answer returns what comes back for a packet.
type network struct {
	tun    *os.File
	answer func(p *packet) [][]byte

	mu   sync.Mutex
	seen map[netip.Addr][]string // by destination: what was sent there
}

// openNetwork opens the network 10.9.0.0/16 and fd09::/64 of the child process, where this host is number 1, and
// allows or forbids echo requests.
func openNetwork(t *testing.T, ping bool, answer func(*packet) [][]byte) *network {
	t.Helper()
	check := func(what string, err error) {
		if t.Helper(); err != nil {
			t.Skipf("%s: %v", what, err)
		}
	}
	groups := "1 0"
	if ping {
		groups = "0 0"
	}
	check("allow echo requests", os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0))
	tun, err := openTUN("pulse0")
	check("open a TUN device", err)
	n := &network{tun: tun, answer: answer, seen: make(map[netip.Addr][]string)}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() {
		_ = tun.Close()
		serving.Wait()
	})
	check("set loopback up", setFlags("lo", unix.IFF_UP))
	check("set the address", setAddress("pulse0", net.IPv4(10, 9, 0, 1), net.IPv4(255, 255, 0, 0)))
	check("set the device up", setFlags("pulse0", unix.IFF_UP))
	check("set the IPv6 address", addIPv6Address("pulse0", netip.MustParsePrefix("fd09::1/64")))
	check("wait for its route", waitForIPv6Route(t.Context(), netip.MustParseAddr("fd09::1")))
	return n
}

// waitForIPv6Route waits until packets to an address of this host are accepted, which the kernel arranges on its own.
func waitForIPv6Route(ctx context.Context, addr netip.Addr) error {
	route := fmt.Sprintf("%x 80 ", addr.As16())
	for ctx.Err() == nil {
		routes, err := os.ReadFile("/proc/net/ipv6_route")
		if err != nil || strings.Contains(string(routes), route) {
			return err
		}
		runtime.Gosched()
	}
	return ctx.Err()
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ifr, _ := unix.NewIfreq(name)
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// configureDevice makes a request about a device, such as SIOCSIFFLAGS.
func configureDevice(name string, request uint, set func(*unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := set(ifr); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, request, ifr)
}

func setFlags(name string, flags uint16) error {
	return configureDevice(name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(flags); return nil })
}

func setAddress(name string, addr, mask net.IP) error {
	if err := configureDevice(name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(addr.To4()) }); err != nil {
		return err
	}
	return configureDevice(name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask.To4()) })
}

// addIPv6Address sends RTM_NEWADDR, see rtnetlink(7).
func addIPv6Address(name string, prefix netip.Prefix) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ip := prefix.Addr().As16()
	body := []byte{unix.AF_INET6, byte(prefix.Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	body = binary.NativeEndian.AppendUint32(body, uint32(device.Index))
	body = binary.NativeEndian.AppendUint16(body, unix.SizeofRtAttr+uint16(len(ip)))
	body = binary.NativeEndian.AppendUint16(body, unix.IFA_LOCAL)
	body = append(body, ip[:]...)
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, unix.RTM_NEWADDR)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	m = append(m, make([]byte, 8)...) // sequence and port
	if err := unix.Sendto(fd, append(m, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	got, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil || got < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("%d bytes: %w", got, err)
	}
	if code := int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// serve answers packets until the device is closed.
func (n *network) serve() {
	buf := make([]byte, 2048)
	for {
		size, err := n.tun.Read(buf)
		if err != nil {
			return
		}
		p, ok := parsePacket(slices.Clone(buf[:size]))
		if !ok {
			continue // of the system itself, such as a router solicitation
		}
		n.mu.Lock()
		n.seen[p.to] = append(n.seen[p.to], p.String())
		n.mu.Unlock()
		for _, answer := range n.answer(p) {
			_, _ = n.tun.Write(answer)
		}
	}
}

// sentTo returns what was sent to an address, without SYNs that the kernel sent once more: after a second, and after an
// answer that acknowledges something else.
func (n *network) sentTo(addr netip.Addr) (sent []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.seen[addr] {
		if !strings.HasSuffix(p, " SYN") || !slices.Contains(sent, p) {
			sent = append(sent, p)
		}
	}
	return sent
}
