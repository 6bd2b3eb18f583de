package clientkeys

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Key is one agent's line in client.keys. It never prints its secret.
type Key struct {
	ID     string // decimal, three digits or more, as in the file
	Name   string // at most 128 bytes
	IP     Address
	Secret string `json:"-"`
}

// String names the agent, without its secret.
func (k Key) String() string { return fmt.Sprintf("agent %s (%s, %s)", k.ID, k.Name, k.IP) }

// GoString is String: the secret stays hidden.
func (k Key) GoString() string { return k.String() }

// Format is String for every verb: the secret stays hidden.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is the agent without its secret.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("name", k.Name), slog.String("ip", k.IP.String()))
}

const (
	minIDLen = 3
	maxIDLen = 8 // a message has room for no more
)

// parseID reads an agent's number in the one form that Wazuh writes: at least
// three digits and no more zeros than that takes, up to 99999999. 000 is the
// manager itself.
func parseID[T string | []byte](s T) (uint32, bool) {
	if len(s) < minIDLen || len(s) > maxIDLen || len(s) > minIDLen && s[0] == '0' {
		return 0, false
	}
	var n uint32
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + uint32(s[i]-'0')
	}
	return n, n > 0
}

const maxNameLen = 128

var (
	errName   = fmt.Errorf("name is not 1 to %d bytes of printable UTF-8", maxNameLen)
	errSecret = errors.New("key is not printable ASCII")
)

// checkAgentName allows what Wazuh's registration does (letters, digits, '-', '_',
// '.') and whatever else an administrator wrote that can be shown.
func checkAgentName(s string) error {
	if len(s) > maxNameLen || !printable.Is(s) {
		return errName
	}
	return nil
}

func checkKeySecret(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return errSecret
		}
	}
	return nil
}

// anyAddress is written for an agent that may come from everywhere.
const anyAddress = "any"

// Address is where an agent is registered: "any", one address, a network in CIDR
// notation or with a mask (10.0.0.0/255.255.255.0), or all but one of these (!10.0.0.5). Equal Addresses are written equally. The zero value contains nothing.
//
// It holds the text alone: with the parsed form beside it, a million keys would
// take half as much again, and parsing takes less than 0.1 µs.
type Address struct{ text string }

var errAddress = errors.New("address is not any, an IP address or a network")

// ParseAddress reads an address as written in client.keys. The error does not
// quote it.
func ParseAddress(s string) (Address, error) {
	if s == anyAddress {
		return Address{s}, nil
	}
	text := strings.TrimPrefix(s, "!")
	_, ok := parseAddressPrefix(text)
	if !ok {
		_, _, ok = parseNetworkMask(text)
	}
	if !ok {
		return Address{}, errAddress
	}
	return Address{s}, nil
}

// parseAddressPrefix reads an address or a CIDR. IPv4 written inside IPv6 becomes
// IPv4, so that it meets what Contains asks for.
func parseAddressPrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	const mapped = 96 // bits before the IPv4 address in ::ffff:0:0/96
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p, true
}

// parseNetworkMask reads a network of IPv4 with its mask, as in 10.0.0.0/255.255.255.0.
func parseNetworkMask(s string) (addr, mask [4]byte, ok bool) {
	first, second, found := strings.Cut(s, "/")
	if !found || !strings.Contains(second, ".") {
		return addr, mask, false
	}
	a, err := netip.ParseAddr(first)
	m, err2 := netip.ParseAddr(second)
	if err != nil || err2 != nil || !a.Is4() || !m.Is4() {
		return addr, mask, false
	}
	return a.As4(), m.As4(), true
}

// Contains reports whether an agent so registered may come from ip. IPv4 inside
// IPv6 counts as IPv4; a zone does not matter.
func (a Address) Contains(ip netip.Addr) bool {
	if a.text == anyAddress {
		return ip.IsValid()
	}
	ip = ip.Unmap().WithZone("")
	if text, negated := strings.CutPrefix(a.text, "!"); negated {
		return ip.IsValid() && !matchesText(text, ip)
	}
	return matchesText(a.text, ip)
}

func matchesText(text string, ip netip.Addr) bool {
	if p, ok := parseAddressPrefix(text); ok {
		return p.Contains(ip)
	}
	addr, mask, ok := parseNetworkMask(text)
	if !ok || !ip.Is4() {
		return false
	}
	for i, b := range ip.As4() {
		if (b^addr[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// SingleHost reports whether this is one address, not "any", none excluded by "!", and not
// written as a network, not even as a /32. An agent so registered does not put its id into its
// messages (wazuh.md, section 1).
func (a Address) SingleHost() bool {
	return a.text != "" && a.text != anyAddress && a.text[0] != '!' && !strings.Contains(a.text, "/")
}

// String is the address as written in the file.
func (a Address) String() string { return a.text }
