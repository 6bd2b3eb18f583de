package detector

import "net/netip"

// addrKind is what the bytes of an agent's address are.
type addrKind uint8

const (
	noAddr addrKind = iota
	addrV4
	addrV6
	addrInZone // of IPv6, and of use only on one interface of the node, which is not stored
)

func addrKindOf(addr netip.Addr) addrKind {
	switch {
	case addr.Is4():
		return addrV4
	case !addr.IsValid():
		return noAddr
	case addr.Zone() != "":
		return addrInZone
	}
	return addrV6
}

// addrOf returns where an agent was seen; not valid if that is unknown.
func (t *Table) addrOf(slot int32) netip.Addr {
	addr := netip.AddrFrom16(t.identities[slot].addr)
	switch t.state[slot].addrKind {
	case noAddr:
		return netip.Addr{}
	case addrV4:
		return addr.Unmap()
	}
	return addr
}

// setAddress records where an agent was seen. The text is formatted here, once, and
// not with every decision.
func (t *Table) setAddress(slot int32, addr netip.Addr) {
	t.forgetAddress(slot)
	w := &t.identities[slot]
	w.addr, w.ip = addr.As16(), addr.String()
	t.state[slot].addrKind = addrKindOf(addr)
	t.countAddress(slot)
}

func (t *Table) forgetAddress(slot int32) {
	if s := &t.state[slot]; s.addrKind != noAddr {
		t.uncountAddress(slot)
		s.addrKind = noAddr
	}
}

// countAddress counts an agent at its address, where it may be the only one; uncountAddress
// counts it no more. A dormant agent is not counted: another one may have the address since.
func (t *Table) countAddress(slot int32) {
	if s := &t.state[slot]; s.addrKind != noAddr && !s.has(dormant) {
		t.addresses.addAddress(t.addrOf(slot), slot)
	}
}

func (t *Table) uncountAddress(slot int32) {
	if s := &t.state[slot]; s.addrKind != noAddr && !s.has(dormant) {
		t.addresses.removeAddress(t.addrOf(slot))
	}
}
