package hostprobe

import "net/netip"

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
	if addr.IsUnspecified() || addr.IsMulticast() || addr.Is6() && addr.IsLinkLocalUnicast() {
		return false
	}
	for _, network := range notHosts {
		if network.Contains(addr) {
			return false
		}
	}
	return true
}
