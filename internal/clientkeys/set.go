package clientkeys

import (
	"iter"
	"net/netip"
	"slices"
)

// Set is the agents of one reading. It is immutable. The zero value is empty.
type Set struct {
	text   string // the whole file; the keys point into it
	keys   []Key  // in file order
	byID   map[uint32]int32
	byAddr map[[16]byte]int32 // registered with one address; IPv4 in its IPv6 form
}

// Len is how many agents there are.
func (s *Set) Len() int { return len(s.keys) }

// ByID finds an agent by its id, written as in the file: "001", not "1".
func (s *Set) ByID(id []byte) (*Key, bool) {
	n, ok := parseID(id)
	if !ok {
		return nil, false
	}
	i, ok := s.byID[n]
	if !ok {
		return nil, false
	}
	return &s.keys[i], true
}

// ByAddr finds the agent registered with exactly this address. Of several, it
// is the first in the file. An agent registered with a network of one host
// ("10.0.0.1/32") is found too: whether such an agent writes its id is the
// agent's affair, and without an id this is the only way to it.
func (s *Set) ByAddr(a netip.Addr) (*Key, bool) {
	if !a.IsValid() {
		return nil, false
	}
	i, ok := s.byAddr[a.As16()]
	if !ok {
		return nil, false
	}
	return &s.keys[i], true
}

// All is every agent, in file order.
func (s *Set) All() iter.Seq[*Key] {
	return func(yield func(*Key) bool) {
		for i := range s.keys {
			if !yield(&s.keys[i]) {
				return
			}
		}
	}
}

// Keys is every agent, in file order, in a slice that is the caller's own.
func (s *Set) Keys() []Key { return slices.Clone(s.keys) }

// add takes an agent in, unless its id is there already.
func (s *Set) add(id uint32, k Key) bool {
	if _, ok := s.byID[id]; ok {
		return false
	}
	i := int32(len(s.keys))
	s.keys = append(s.keys, k)
	s.byID[id] = i
	if k.IP.text == anyAddress {
		return true
	}
	if p, ok := parsePrefix(k.IP.text); ok && p.IsSingleIP() {
		host := p.Addr().As16()
		if _, ok := s.byAddr[host]; !ok {
			s.byAddr[host] = i
		}
	}
	return true
}
