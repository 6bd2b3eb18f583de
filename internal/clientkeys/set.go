// Package clientkeys reads client.keys, the manager's list of agents and their
// secrets, and follows its changes while running.
//
// A [Set] is one reading of the file. It is immutable and safe for concurrent
// use; whoever holds one sees the agents of that moment. It takes
// about 0.2 KB an agent, so a million fit, and nothing for what else is in the file.
//
// A line that cannot be understood is a [Problem] and costs only that agent.
// Neither problems, nor errors, nor a printed [Key] contain a secret, and so they never
// quote a line: a secret may stand in the wrong place of a broken one.
//
// [Watch] calls back from its caller's goroutine; the file system watcher it
// starts has ended when it returns. The rest of the package starts no goroutines.
package clientkeys

import (
	"crypto/sha256"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Set is the agents of one reading. It is immutable. The zero value is empty.
type Set struct {
	keys    []Key // in file order
	byID    map[uint32]int32
	byAddr  map[[16]byte]int32 // registered with one address; IPv4 in its IPv6 form
	removed map[uint32]bool    // agents whose lines say that they are removed
	broken  int                // lines
	damaged bool               // it has NUL bytes, or ends within a line that is no agent's
	cut     bool               // the file is empty, or ends within a line
	cutKey  bool               // that line is the last agent's
	digest  [sha256.Size]byte  // of the whole file
}

// Len is how many agents there are.
func (s *Set) Len() int { return len(s.keys) }

// ByID finds an agent by its id, written as in the file: "001", not "1".
func (s *Set) ByID(id []byte) (*Key, bool) {
	n, ok := parseID(id)
	if !ok {
		return nil, false
	}
	return s.ByNumber(n)
}

// ByNumber finds an agent by its id as a number.
func (s *Set) ByNumber(id uint32) (*Key, bool) {
	i, ok := s.byID[id]
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

// Damaged reports whether the file looks like one that a writer or a disk has cut
// off: it has NUL bytes, or ends within a line that is no agent's.
func (s *Set) Damaged() bool { return s.damaged }

// Removed reports whether the file has an agent's line, marked as removed.
func (s *Set) Removed(id []byte) bool {
	n, ok := parseID(id)
	return ok && s.removed[n]
}

func (s *Set) markRemoved(id string) {
	if n, ok := parseID(id); ok {
		if s.removed == nil {
			s.removed = make(map[uint32]bool)
		}
		s.removed[n] = true
	}
}

// WithoutTorn returns the set without its last agent, and damaged, if the file ends within that line and has only the beginning of the key that
// the agent has in known.
func (s *Set) WithoutTorn(known *Set) *Set {
	last := len(s.keys) - 1
	if !s.cutKey {
		return s
	}
	k := &s.keys[last]
	if was, ok := known.ByID([]byte(k.ID)); !ok || len(k.Secret) >= len(was.Secret) || !strings.HasPrefix(was.Secret, k.Secret) {
		return s
	}
	rest := *s
	rest.keys, rest.damaged, rest.byID = s.keys[:last:last], true, maps.Clone(s.byID)
	maps.DeleteFunc(rest.byID, func(_ uint32, i int32) bool { return int(i) == last })
	rest.byAddr = maps.Clone(s.byAddr)
	maps.DeleteFunc(rest.byAddr, func(_ [16]byte, i int32) bool { return int(i) == last })
	return &rest
}

// WithKeys returns the set with more agents, but for those whose ids it has.
func (s *Set) WithKeys(more []Key) *Set {
	if len(more) == 0 {
		return s
	}
	all := *s
	all.keys, all.byID, all.byAddr = slices.Clone(s.keys), maps.Clone(s.byID), maps.Clone(s.byAddr)
	if all.byID == nil {
		all.byID, all.byAddr = make(map[uint32]int32), make(map[[16]byte]int32)
	}
	for _, k := range more {
		if id, ok := parseID(k.ID); ok {
			all.addKey(id, k)
		}
	}
	return &all
}

// addKey takes an agent in, unless its id is there already.
func (s *Set) addKey(id uint32, k Key) bool {
	if _, ok := s.byID[id]; ok {
		return false
	}
	i := int32(len(s.keys))
	s.keys = append(s.keys, k)
	s.byID[id] = i
	if k.IP.text == anyAddress {
		return true
	}
	if p, ok := parseAddressPrefix(k.IP.text); ok && p.IsSingleIP() {
		host := p.Addr().As16()
		if _, ok := s.byAddr[host]; !ok {
			s.byAddr[host] = i
		}
	}
	return true
}
