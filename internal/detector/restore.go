package detector

import (
	"net/netip"
	"time"
)

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
	Outage   bool // as its last change had it, and Part
	Part     Part
}

// Outage is the last outage of an earlier life. What became of its members since
// it was reported is in the agents' last changes.
type Outage struct {
	Since      Instant // as in Fleet
	Watched    int     // as in Fleet
	ReportedAt Instant // when it was reported last; of use while it goes on
	Ended      Instant // when it was over; 0 if it went on
}

// wallClockError is how far the instants of two changes may be off that were at
// one time: they come from messages that have whole seconds, each converted with
// a reading of the wall clock of its own.
const wallClockError = time.Second

// Restore fills an empty table with what was known. Agents that were there get
// a timeout to show themselves, from the first SetMembers on, in which they are sent
// nothing: their connections are gone, and they come back by themselves. Who is not
// among the members is removed then. An outage that went on goes on, with all
// that were lost since it began and are still away.
func (t *Table) Restore(agents []Restored, last *Outage) {
	t.grow(len(agents))
	o := &t.fleet
	if last != nil {
		o.told = Fleet{Since: last.Since, Watched: last.Watched}
	}
	for i := range agents {
		slot := t.restore(&agents[i])
		if last != nil {
			t.restorePart(slot, &agents[i], last)
		}
	}
	switch {
	case last == nil:
	case last.Ended == 0:
		o.on, o.settled = true, true
	case len(o.lost) > 0:
		o.hold = last.Ended.Add(t.set.OutageHold)
	}
}

func (t *Table) restore(a *Restored) int32 {
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
	}
	return slot
}

// restorePart makes an agent part of the outage of an earlier life, if it was.
// Its loss says so itself, unless it was decided before the outage was reported.
func (t *Table) restorePart(slot int32, a *Restored, last *Outage) {
	s := &t.state[slot]
	lost := a.Reason.IsLoss() && a.Status == Disconnected
	away := lost && (a.Outage || last.unmarked(a.Since, t.span))
	switch {
	case a.Since < last.Since.Add(-wallClockError) || !away && a.Part == NoPart:
		return
	case last.Ended != 0:
		if !away || last.Ended.Add(t.set.OutageHold) <= 0 {
			return
		}
	default:
		s.flags |= member
		if a.Part == ConnectionClosed || a.Part == NoPart && a.Reason == ConnectionLost {
			s.flags |= memberClosed
		}
		t.fleet.told.count(s.has(memberClosed), 1)
	}
	l := loss{slot: slot, id: a.ID, from: Active, at: never} // its loss is not its last change
	if away {
		s.flags |= missing
		t.fleet.left++
		l.at = a.Since
	}
	t.fleet.lost = append(t.fleet.lost, l)
}

// unmarked reports whether a loss at that time is part of the outage though its
// change does not say so: it is one of those that the outage was concluded from.
func (o *Outage) unmarked(at Instant, span time.Duration) bool {
	first := at <= o.Since.Add(span+wallClockError)
	if o.Ended != 0 {
		return first
	}
	return at <= o.ReportedAt.Add(wallClockError) && (first || at >= o.ReportedAt.Add(-span-wallClockError))
}
