package tcpclose

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// procFiles list the host's TCP connections (proc(5)).
var procFiles = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// CountConnections returns how many connections to a port of this host are open.
func CountConnections(port uint16) (int, error) {
	all, err := readConnections(func(p uint16) bool { return p == port })
	return len(all), err
}

// readConnections returns the remote ends of the connections to the ports that are watched.
func readConnections(watched func(uint16) bool) (map[netip.AddrPort]bool, error) {
	all := make(map[netip.AddrPort]bool)
	for _, name := range procFiles {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		err = parseConnections(f, watched, func(remote netip.AddrPort) { all[remote] = true })
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return all, nil
}

// procEstablished is the state of a connection that is open (TCP_ESTABLISHED).
const procEstablished = "01"

// parseConnections parses /proc/net/tcp or tcp6, and calls found with the remote ends of
// open connections to the ports that are watched.
func parseConnections(r io.Reader, watched func(uint16) bool, found func(netip.AddrPort)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<10), 1<<12)
	for first := true; lines.Scan(); first = false {
		if first {
			continue // the columns' names
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return fmt.Errorf("a line of %d columns: %.80q", len(fields), lines.Text())
		}
		if fields[3] != procEstablished {
			continue
		}
		local, err := parseEndpoint(fields[1])
		if err != nil {
			return err
		}
		if !watched(local.Port()) {
			continue
		}
		remote, err := parseEndpoint(fields[2])
		if err != nil {
			return err
		}
		found(remote)
	}
	return lines.Err()
}

// parseEndpoint parses ADDRESS:PORT in hexadecimal. The address is in words of
// four bytes, each in the byte order of the host.
func parseEndpoint(text string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, bad := hex.DecodeString(addr)
	if err != nil || bad != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("an address that is none: %.60q", text)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	ip, _ := netip.AddrFromSlice(raw) // its length is right
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}
