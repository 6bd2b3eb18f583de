package detector

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestAddressSetIsACount runs a set and plain counts through the same history.
func TestAddressSetIsACount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		has := map[int32]netip.Addr{}
		x := newAddressSet(func(slot int32) netip.Addr { return has[slot] })
		addresses := rapid.IntRange(1, 60).Draw(t, "addresses")
		drawAddr := func() netip.Addr {
			n := rapid.IntRange(1, addresses).Draw(t, "addr")
			if n%7 == 0 {
				return netip.AddrFrom16([16]byte{15: byte(n)})
			}
			return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			slot := rapid.Int32Range(0, 40).Draw(t, "slot")
			if addr, ok := has[slot]; ok {
				x.removeAddress(addr)
				delete(has, slot)
			} else {
				has[slot] = drawAddr()
				x.addAddress(has[slot], slot)
			}
			count := map[netip.Addr]int{}
			for _, addr := range has {
				count[addr]++
			}
			for n := range addresses + 1 {
				addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})
				if got := x.isUnique(addr); got != (count[addr] == 1) {
					t.Fatalf("%v is unique: %v, but %d agents have it", addr, got, count[addr])
				}
			}
		}
	})
}
