package silence

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// Index finds for an agent whether one of many selectors selects it. A selector is filed
// under that kind of its conditions which it shares with the fewest others: ids (as
// blocks), names, groups or networks. So an agent is compared with few of them. The zero
// value has no selectors.
type Index struct {
	all       bool // one selects all agents
	filed     map[key][]*Selector
	unfiled   []*Selector // no condition of theirs can be a key
	kinds     [keyKinds]bool
	idLevels  []uint32 // sizes of blocks of ids in use, as powers of two
	prefixes  []int    // lengths in use of what patterns begin with
	suffixes  []int    // lengths in use of what patterns end with
	prefixes4 []int    // lengths in use of networks
	prefixes6 []int
}

// key is what a selector is filed under.
type key struct {
	kind keyKind
	n    uint32    // the size of a block of ids, as a power of two; the length of a network
	bits [2]uint64 // the block's number; the network's address
	text string    // of a name or a group
}

type keyKind uint8

const (
	keyID keyKind = iota
	keyName
	keyPrefix
	keySuffix
	keyGroup
	keyNetwork4
	keyNetwork6

	keyKinds
)

// NewIndex returns an index of selectors.
func NewIndex(selectors []*Selector) *Index {
	x := &Index{filed: make(map[key][]*Selector)}
	shared := make(map[key]int)
	known := make(map[string]bool)
	var unique []*Selector
	for _, s := range selectors {
		if s.all {
			x.all = true
		}
		if text := s.String(); !known[text] {
			known[text] = true
			unique = append(unique, s)
			for _, keys := range s.keyChoices() {
				for _, k := range keys {
					shared[k]++
				}
			}
		}
	}
	if x.all {
		return x
	}
	for _, s := range unique {
		x.addSelector(s, shared)
	}
	return x
}

// IsEmpty reports whether the index has no selectors.
func (x *Index) IsEmpty() bool { return !x.all && len(x.filed) == 0 && len(x.unfiled) == 0 }

// addSelector files a selector; shared is how many have each key.
func (x *Index) addSelector(s *Selector, shared map[key]int) {
	var best []key
	fewest := 0
	for _, keys := range s.keyChoices() {
		most := 0
		for _, k := range keys {
			most = max(most, shared[k])
		}
		if best == nil || most < fewest {
			best, fewest = keys, most
		}
	}
	if best == nil {
		x.unfiled = append(x.unfiled, s)
	}
	for _, k := range best {
		x.filed[k] = append(x.filed[k], s)
		x.kinds[k.kind] = true
		switch k.kind {
		case keyID:
			x.idLevels = addSize(x.idLevels, k.n)
		case keyPrefix:
			x.prefixes = addSize(x.prefixes, len(k.text))
		case keySuffix:
			x.suffixes = addSize(x.suffixes, len(k.text))
		case keyNetwork4:
			x.prefixes4 = addSize(x.prefixes4, int(k.n))
		case keyNetwork6:
			x.prefixes6 = addSize(x.prefixes6, int(k.n))
		}
	}
}

func addSize[T int | uint32](sizes []T, n T) []T {
	if slices.Contains(sizes, n) {
		return sizes
	}
	return append(sizes, n)
}

// keyChoices returns the keys of each kind of conditions that the selector could be filed
// under: whatever it selects has one of the keys.
func (s *Selector) keyChoices() (choices [][]key) {
	for _, keys := range [][]key{s.agentKeys(), s.networkKeys(), s.groupKeys()} {
		if len(keys) > 0 {
			choices = append(choices, keys)
		}
	}
	return choices
}

// IsFiled reports whether an index can file the selector: all that it selects have
// something in common. Others are compared with every agent.
func (s *Selector) IsFiled() bool { return s.all || len(s.keyChoices()) > 0 }

// patternSigns are the characters with a special meaning in a pattern.
const patternSigns = `*?[\`

// agentKeys returns nil if a pattern has neither a beginning nor an end.
func (s *Selector) agentKeys() (keys []key) {
	for _, r := range s.ids {
		keys = appendBlocks(keys, r)
	}
	for _, p := range s.names {
		first, last := strings.IndexAny(p, patternSigns), strings.LastIndexAny(p, patternSigns+"]")
		switch {
		case first < 0:
			keys = append(keys, key{kind: keyName, text: p})
		case first > 0:
			keys = append(keys, key{kind: keyPrefix, text: p[:first]})
		case last < len(p)-1 && p[last] != '\\':
			keys = append(keys, key{kind: keySuffix, text: p[last+1:]})
		default:
			return nil
		}
	}
	return keys
}

// appendBlocks appends the keys of a range of ids: the one or two blocks that it is in, of
// a size that is a power of two and not less than its own.
func appendBlocks(keys []key, r IDRange) []key {
	level := uint32(bits.Len32(r.Hi - r.Lo))
	first, last := r.Lo>>level, r.Hi>>level
	keys = append(keys, key{kind: keyID, n: level, bits: [2]uint64{uint64(first)}})
	if last != first {
		keys = append(keys, key{kind: keyID, n: level, bits: [2]uint64{uint64(last)}})
	}
	return keys
}

// groupKeys returns nil if one is a pattern.
func (s *Selector) groupKeys() (keys []key) {
	for _, g := range s.groups {
		if strings.ContainsAny(g, patternSigns) {
			return nil
		}
		keys = append(keys, key{kind: keyGroup, text: g})
	}
	return keys
}

func (s *Selector) networkKeys() (keys []key) {
	for _, p := range s.networks {
		keys = append(keys, networkKey(p))
	}
	return keys
}

func networkKey(p netip.Prefix) key {
	k := key{kind: keyNetwork6, n: uint32(p.Bits())}
	if p.Addr().Is4() {
		k.kind = keyNetwork4
	}
	a := p.Addr().As16()
	k.bits = [2]uint64{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
	return k
}

// Selects reports whether a selector selects an agent.
func (x *Index) Selects(a *Agent) bool {
	if x.all {
		return true
	}
	if x.IsEmpty() {
		return false
	}
	addr := a.addr()
	for _, s := range x.unfiled {
		if s.matchesAt(a, addr) {
			return true
		}
	}
	return x.selectsByAgent(a, addr) || x.kinds[keyGroup] && x.selectsByGroup(a, addr) || x.selectsByNetwork(a, addr)
}

// isSelectedUnder reports whether a selector filed under a key selects an agent.
func (x *Index) isSelectedUnder(k key, a *Agent, addr netip.Addr) bool {
	for _, s := range x.filed[k] {
		if s.matchesAt(a, addr) {
			return true
		}
	}
	return false
}

func (x *Index) selectsByAgent(a *Agent, addr netip.Addr) bool {
	for _, level := range x.idLevels {
		if x.isSelectedUnder(key{kind: keyID, n: level, bits: [2]uint64{uint64(a.ID >> level)}}, a, addr) {
			return true
		}
	}
	if x.kinds[keyName] && x.isSelectedUnder(key{kind: keyName, text: a.Name}, a, addr) {
		return true
	}
	for _, n := range x.prefixes {
		if n <= len(a.Name) && x.isSelectedUnder(key{kind: keyPrefix, text: a.Name[:n]}, a, addr) {
			return true
		}
	}
	for _, n := range x.suffixes {
		if n <= len(a.Name) && x.isSelectedUnder(key{kind: keySuffix, text: a.Name[len(a.Name)-n:]}, a, addr) {
			return true
		}
	}
	return false
}

func (x *Index) selectsByGroup(a *Agent, addr netip.Addr) bool {
	for group := range strings.SplitSeq(a.Groups, ",") {
		if group != "" && x.isSelectedUnder(key{kind: keyGroup, text: group}, a, addr) {
			return true
		}
	}
	return false
}

func (x *Index) selectsByNetwork(a *Agent, addr netip.Addr) bool {
	lengths := x.prefixes6
	if addr.Is4() {
		lengths = x.prefixes4
	}
	for _, n := range lengths {
		if p, err := addr.Prefix(n); err == nil && x.isSelectedUnder(networkKey(p), a, addr) {
			return true
		}
	}
	return false
}

// ListedIDs returns the ids that the selectors name one by one, if they select no agent by
// anything else and are at most most; else nil.
func (x *Index) ListedIDs(most int) (ids []uint32) {
	if x.all || len(x.unfiled) > 0 || len(x.filed) > most {
		return nil
	}
	for k := range x.filed {
		if k.kind != keyID || k.n != 0 {
			return nil
		}
		ids = append(ids, uint32(k.bits[0]))
	}
	slices.Sort(ids)
	return ids
}
