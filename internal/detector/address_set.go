package detector

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// addressSet knows how many agents have each address. An address that one agent has is
// a slot in a hash table with linear probing: five to seven bytes an agent. The rest,
// such as those of a network behind one address, are counted in a map.
type addressSet struct {
	seed   maphash.Seed
	single []int32 // slots from 1 of agents that have their addresses alone, 0: none
	count  int     // of them
	shared map[netip.Addr]int
	addrOf func(slot int32) netip.Addr // the address that a slot was added with
}

func newAddressSet(addrOf func(slot int32) netip.Addr) addressSet {
	return addressSet{seed: maphash.MakeSeed(), shared: make(map[netip.Addr]int), addrOf: addrOf}
}

// addAddress adds the address of a slot.
func (x *addressSet) addAddress(addr netip.Addr, slot int32) {
	if n := x.shared[addr]; n > 0 {
		x.shared[addr] = n + 1
		return
	}
	if 5*(x.count+1) > 4*len(x.single) {
		x.grow()
	}
	at := x.findEntry(addr)
	if x.single[at] != 0 {
		x.removeEntry(at)
		x.shared[addr] = 2
		return
	}
	x.single[at] = slot + 1
	x.count++
}

// removeAddress removes the address of a slot, which has it still.
func (x *addressSet) removeAddress(addr netip.Addr) {
	switch n := x.shared[addr]; {
	case n > 1:
		x.shared[addr] = n - 1
	case n == 1:
		delete(x.shared, addr)
	default:
		x.removeEntry(x.findEntry(addr))
	}
}

// isUnique reports whether one agent has the address.
func (x *addressSet) isUnique(addr netip.Addr) bool {
	return x.shared[addr] == 1 || len(x.single) > 0 && x.single[x.findEntry(addr)] != 0
}

func (x *addressSet) homeOf(addr netip.Addr) int {
	at, _ := bits.Mul64(maphash.Comparable(x.seed, addr), uint64(len(x.single)))
	return int(at)
}

// findEntry returns where an address is, or the free entry where it belongs.
func (x *addressSet) findEntry(addr netip.Addr) int {
	at := x.homeOf(addr)
	for x.single[at] != 0 && x.addrOf(x.single[at]-1) != addr {
		at = (at + 1) % len(x.single)
	}
	return at
}

// removeEntry empties an entry, and moves those after it that would not be found any more.
func (x *addressSet) removeEntry(at int) {
	n := len(x.single)
	for next := (at + 1) % n; x.single[next] != 0; next = (next + 1) % n {
		home := x.homeOf(x.addrOf(x.single[next] - 1))
		if (next-home+n)%n >= (next-at+n)%n {
			x.single[at] = x.single[next]
			at = next
		}
	}
	x.single[at] = 0
	x.count--
}

func (x *addressSet) grow() {
	old := x.single
	x.single = make([]int32, max(16, len(old)+len(old)/4))
	for _, slot := range old {
		if slot != 0 {
			x.single[x.findEntry(x.addrOf(slot-1))] = slot
		}
	}
}
