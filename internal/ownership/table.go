package ownership

import (
	"hash/maphash"
	"math"
	"net/netip"
)

// row is one node's claim of one agent: 52 bytes, all fields of four bytes or less.
type row struct {
	orderHigh, orderLow uint32
	addr                [16]byte // zero for not known
	agent               AgentID
	next                uint32 // another row of the agent, plus one; 0 for none
	since, sign         uint32
	seenAgo, fromAgo    uint32 // before order; see Claim
	node                uint8
	reason              Reason
	mark                uint8 // see State.BeginReread
	flags               uint8 // sharedFlag, and see lostWith
}

// sharedFlag is set if other nodes have claimed the agent, too, or had. The other bits are
// those of lostWith.
const sharedFlag = 1 << 7

func (r *row) isShared() bool { return r.flags&sharedFlag != 0 }

// lostWith returns the node, plus one, with which the agent was lost; 0 for none.
func (r *row) lostWith() uint8 { return r.flags &^ sharedFlag }

func (r *row) setLostWith(node uint8) { r.flags = r.flags&sharedFlag | node }

func (r *row) order() uint64 { return uint64(r.orderHigh)<<32 | uint64(r.orderLow) }
func (r *row) seen() uint64  { return r.order() - min(uint64(r.seenAgo), r.order()) }
func (r *row) from() uint64  { return r.order() - min(uint64(r.fromAgo), r.order()) }

// setClaim replaces all but the row's place in the table.
func (r *row) setClaim(order uint64, c *Claim) {
	r.orderHigh, r.orderLow = uint32(order>>32), uint32(order)
	r.since, r.sign, r.reason = c.Since, c.Sign, c.Reason
	r.seenAgo = uint32(min(order-c.Seen, math.MaxUint32))
	r.fromAgo = uint32(min(order-c.From, math.MaxUint32))
	r.addr = [16]byte{}
	if c.Addr.IsValid() {
		r.addr = c.Addr.As16()
	}
}

func (r *row) address() netip.Addr {
	if r.addr == ([16]byte{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(r.addr).Unmap()
}

// precedes reports whether the claim o is the valid one of the two: its sign of life is
// later, or else it was stored later.
func (r *row) precedes(o *row) bool {
	if r.seen() != o.seen() {
		return r.seen() < o.seen()
	}
	return r.order() < o.order()
}

// hasLeft reports whether the agent was on the claim's node, and has left it for no other.
func (r *row) hasLeft() bool { return (r.reason == Lost || r.reason == Stopped) && r.lostWith() == 0 }

const chunkRows = 4096

// table has the claims of all nodes. The rows of an agent are a list, whose first row is
// found by an index with open addressing. It takes 52 bytes a row and 5.4 to 10.7 for the index.
type table struct {
	chunks [][]row
	free   uint32 // the first unused row, plus one; 0 for none
	used   int
	index  []uint32 // the agent's first row, plus one; 0 for none. A power of two long
	agents int      // in the index
}

func (t *table) rowAt(at uint32) *row { return &t.chunks[(at-1)/chunkRows][(at-1)%chunkRows] }

// hashSeed is random: no node can choose agents that collide in the index.
var hashSeed = maphash.MakeSeed()

func (t *table) slotOf(id AgentID) uint32 {
	return uint32(maphash.Comparable(hashSeed, id)) & uint32(len(t.index)-1)
}

// find returns the agent's first row; 0 for none.
func (t *table) find(id AgentID) uint32 {
	if len(t.index) == 0 {
		return 0
	}
	for slot := t.slotOf(id); ; slot = (slot + 1) & uint32(len(t.index)-1) {
		at := t.index[slot]
		if at == 0 || t.rowAt(at).agent == id {
			return at
		}
	}
}

// findAll is find for many agents. It goes over them twice, so that the processor waits for the
// memory of several at a time.
func (t *table) findAll(firsts []uint32, agents []AgentID) []uint32 {
	if len(t.index) == 0 {
		return firsts
	}
	for i, id := range agents {
		firsts[i] = t.index[t.slotOf(id)]
	}
	for i, id := range agents {
		if at := firsts[i]; at != 0 && t.rowAt(at).agent != id {
			firsts[i] = t.find(id) // it was displaced
		}
	}
	return firsts
}

// findOf returns the row of a node's claim of an agent; nil for none.
func (t *table) findOf(id AgentID, node uint8) *row {
	for at := t.find(id); at != 0; {
		r := t.rowAt(at)
		if r.node == node {
			return r
		}
		at = r.next
	}
	return nil
}

// add adds a row for a node that has none for the agent.
func (t *table) add(id AgentID, node uint8) *row {
	if t.free == 0 {
		t.addChunk()
	}
	at := t.free
	r := t.rowAt(at)
	t.free = r.next
	*r = row{agent: id, node: node}
	t.used++
	if first := t.find(id); first != 0 {
		r.next = t.rowAt(first).next
		t.rowAt(first).next = at
		for at := first; at != 0; at = t.rowAt(at).next {
			t.rowAt(at).flags |= sharedFlag
		}
		return r
	}
	if t.agents++; t.agents*4 > len(t.index)*3 {
		t.growIndex()
	}
	t.insertFirst(at)
	return r
}

func (t *table) insertFirst(at uint32) {
	slot := t.slotOf(t.rowAt(at).agent)
	for t.index[slot] != 0 {
		slot = (slot + 1) & uint32(len(t.index)-1)
	}
	t.index[slot] = at
}

func (t *table) addChunk() {
	base := uint32(len(t.chunks) * chunkRows)
	chunk := make([]row, chunkRows)
	for i := range chunk {
		chunk[i].next = base + uint32(i) + 2
	}
	chunk[chunkRows-1].next = 0
	t.chunks = append(t.chunks, chunk)
	t.free = base + 1
}

func (t *table) growIndex() {
	old := t.index
	t.index = make([]uint32, max(64, 2*len(old)))
	for _, at := range old {
		if at != 0 {
			t.insertFirst(at)
		}
	}
}

// remove removes a node's row of an agent, if there is one.
func (t *table) remove(id AgentID, node uint8) bool {
	before := uint32(0)
	for at := t.find(id); at != 0; {
		r := t.rowAt(at)
		if r.node != node {
			before, at = at, r.next
			continue
		}
		switch {
		case before != 0:
			t.rowAt(before).next = r.next
		case r.next != 0:
			t.replaceFirst(id, r.next)
		default:
			t.removeFirst(id)
		}
		*r = row{next: t.free}
		t.free = at
		t.used--
		return true
	}
	return false
}

func (t *table) findSlot(id AgentID) uint32 {
	slot := t.slotOf(id)
	for t.rowAt(t.index[slot]).agent != id {
		slot = (slot + 1) & uint32(len(t.index)-1)
	}
	return slot
}

func (t *table) replaceFirst(id AgentID, at uint32) { t.index[t.findSlot(id)] = at }

// removeFirst removes an agent from the index, and moves back those that were displaced by it.
func (t *table) removeFirst(id AgentID) {
	mask := uint32(len(t.index) - 1)
	hole := t.findSlot(id)
	for slot := (hole + 1) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		home := t.slotOf(t.rowAt(t.index[slot]).agent)
		if (slot-home)&mask >= (slot-hole)&mask {
			t.index[hole] = t.index[slot]
			hole = slot
		}
	}
	t.index[hole] = 0
	t.agents--
}

// bytes returns how much memory the table takes.
func (t *table) bytes() int { return len(t.chunks)*chunkRows*52 + 4*len(t.index) }
