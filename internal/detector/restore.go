package detector

import "net/netip"

// Restored is an agent as an earlier life of the node left it. Instants are
// negative: they were before this life.
type Restored struct {
	Member
	Addr     netip.Addr // where it was seen; not valid if that is unknown
	Status   Status
	Reason   Reason
	Since    Instant
	LastSeen Instant
	Missed   int
	Greeted  bool // it had been active before
	Missing  bool // it was lost in the outage that went on
}

// Restore fills an empty table with what was known. Agents that were there get
// a timeout to show themselves, in which they are sent nothing: their connections are
// gone, and they come back by themselves. Call SetMembers next: who is no longer
// in the inventory is removed then. The outage is that which went on, if one did.
func (t *Table) Restore(agents []Restored, outage *Fleet) {
	t.grow(len(agents))
	for i := range agents {
		a := &agents[i]
		slot := t.add(&a.Member, a.Since)
		t.who[slot].addr = a.Addr
		t.regroup(slot, a.Since)
		s := &t.state[slot]
		t.count[NeverConnected]--
		t.count[a.Status]++
		s.status, s.reason, s.missed = a.Status, a.Reason, uint16(min(a.Missed, mostMissed))
		if a.Status != NeverConnected {
			s.lastSeen = min(a.LastSeen, -1)
			s.flags |= seen
		}
		if a.Greeted {
			s.flags |= greeted
		}
		if s.watched() {
			s.flags |= restored
			t.attend(slot, t.indulgence(s))
		}
		if a.Missing && outage != nil {
			s.flags |= missing
			t.fleet.lost = append(t.fleet.lost, loss{slot: slot, id: a.ID, from: Active, at: a.Since})
		}
	}
	if outage != nil {
		t.fleet.on, t.fleet.told, t.fleet.left = true, *outage, len(t.fleet.lost)
		t.fleet.told.Lost = max(outage.Lost, t.fleet.left)
	}
}
