package clientkeys

import (
	"errors"
	"net/netip"
	"strings"
)

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
