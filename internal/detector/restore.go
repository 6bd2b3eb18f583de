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
}

// Outage is the last outage of an earlier life.
type Outage struct {
	Fleet
	Ended Instant // when it was over; 0 if it went on
}

// Restore fills an empty table with what was known. Agents that were there get
// a timeout to show themselves, from the first SetMembers on, in which they are sent
// nothing: their connections are gone, and they come back by themselves. Who is not
// among the members is removed then. An outage that went on goes on, with all
// that were lost since it began and are still away.
func (t *Table) Restore(agents []Restored, last *Outage) {
	t.grow(len(agents))
	for i := range agents {
		t.restore(&agents[i], last)
	}
	o := &t.fleet
	switch {
	case last == nil:
	case last.Ended == 0:
		o.on, o.settled, o.told, o.left = true, true, last.Fleet, len(o.lost)
		o.told.Lost = max(last.Lost, o.left)
	case len(o.lost) > 0:
		o.hold = last.Ended.Add(t.set.OutageHold)
	}
}

func (t *Table) restore(a *Restored, last *Outage) {
	slot := t.add(&a.Member, a.Since)
	if a.Addr.IsValid() {
		t.who[slot].locate(a.Addr)
	}
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
		s.missed = 0
		t.attend(slot, t.indulgence(s))
		return
	}
	if last != nil && a.Reason.IsLoss() && a.Since >= last.Since && (last.Ended == 0 || last.Ended.Add(t.set.OutageHold) > 0) {
		s.flags |= member | missing
		if a.Reason == ConnectionLost {
			s.flags |= memberClosed
		}
		t.fleet.lost = append(t.fleet.lost, loss{slot: slot, id: a.ID, from: Active, at: a.Since})
	}
}
