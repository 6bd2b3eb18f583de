package detector

import (
	"net/netip"
	"time"
	"unique"
)

// Restored is an agent as an earlier process left it. Instants are negative: they were
// before this process.
type Restored struct {
	Member
	Addr     netip.Addr // where it was seen; not valid if that is unknown
	Status   Status
	Reason   Reason
	Since    Instant
	LastSeen Instant
	Missed   int
	Greeted  bool // it had been active before
	Outage   bool // as its last change had it, Part and Silenced
	Part     Part
	Silenced bool
	From     Status // before that change

	Info      Info
	Evidence  Evidence // of a disconnected agent, as its last change had it; SilentFor is not used
	Step      int      // the last step of its absence that was published; 0: none
	AlertHeld bool     // its last change is a loss whose alert was held, and not published since
	Alerted   bool     // the alert of its last change, which is a loss, was published
	Flapping  bool     // it was flapping: its alert was held for that
}

// Outage is the last outage that an earlier process reported. What became of its
// members since is in the agents' last changes.
type Outage struct {
	Since      Instant // as in Fleet
	Watched    int     // as in Fleet
	ReportedAt Instant // when it was reported last; of use while it goes on
	Ended      Instant // when it was over; 0 if it went on

	HostsProbed, HostsAnswered int // as in Fleet
}

// wallClockError is how far the instants of two simultaneous changes may differ: they
// come from messages with whole seconds, each converted with its own reading of the
// wall clock.
const wallClockError = time.Second

// Restore fills an empty table with the state of an earlier process. Connected agents
// have a timeout to reconnect, from the first SetMembers on, in which no keep-alives are
// sent to them. Agents that are not among the members are removed then. An outage that
// had not ended continues, with all that were lost since it began and are still away.
func (t *Table) Restore(agents []Restored, last *Outage) {
	t.growColumns(len(agents))
	o := &t.outage
	if last != nil {
		o.report = Fleet{Since: last.Since, Watched: last.Watched, HostsProbed: last.HostsProbed, HostsAnswered: last.HostsAnswered}
	}
	for i := range agents {
		slot := t.restoreAgent(&agents[i])
		if last != nil {
			t.restoreOutagePart(slot, &agents[i], last)
		}
		t.restoreHeldAlert(slot, &agents[i])
	}
	switch {
	case last == nil:
	case last.Ended == 0:
		o.ongoing, o.settled = true, true
	case len(o.members) > 0:
		o.holdEnd = max(last.Ended.Add(t.set.OutageHold), t.restoreHold())
	}
}

// restoreHold returns until when the alerts that an earlier process held are held at least:
// agents have an Interval to come back to this one.
func (t *Table) restoreHold() Instant { return Instant(0).Add(t.span) }

func (t *Table) restoreAgent(a *Restored) int32 {
	slot := t.addAgent(&a.Member, a.Since)
	if a.Addr.IsValid() {
		t.setAddress(slot, a.Addr)
	}
	t.identities[slot].info = unique.Make(a.Info)
	t.updateAgentGroup(slot, a.Since)
	s := &t.state[slot]
	t.count[NeverConnected]--
	t.count[a.Status]++
	s.status, s.reason, s.from, s.missed = a.Status, a.Reason, a.From, uint16(min(a.Missed, maxMissedCount))
	t.countSilenced(s, 1)
	if a.Status != NeverConnected {
		s.lastSeen = min(a.LastSeen, -1)
		s.flags |= seen
	}
	if a.Greeted {
		s.flags |= wasActive
	}
	if s.isWatched() {
		s.flags |= restored
		s.missed = 0
		t.ensureDueBy(slot, t.graceUntil(s))
	} else if a.Status == Disconnected {
		t.restoreEvidence(slot, &a.Evidence, a.Reason)
		s.step = uint8(min(a.Step, noSteps-1))
		if a.Alerted {
			s.flags |= alerted
		}
		t.ensureDueBy(slot, t.absenceDue(slot))
	}
	return slot
}

// RestoreMember takes up that an agent was connected to an earlier process, of which only that is
// known. It does nothing if this one knows more of the agent. As after [Table.Restore], the agent
// has its timeout since the start to reconnect.
func (t *Table) RestoreMember(id AgentID, lastSeen Instant) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok {
		return
	}
	s := &t.state[slot]
	if s.status != NeverConnected || s.has(seen|elsewhere) {
		return
	}
	t.count[NeverConnected]--
	t.count[Active]++
	s.status, s.reason, s.from, s.lastSeen = Active, Reconnected, Disconnected, min(lastSeen, -1)
	s.flags |= seen | wasActive | restored
	t.identities[slot].since = s.lastSeen
	t.countSilenced(s, 1)
	t.ensureDueBy(slot, t.graceUntil(s))
}

// RestoreMember takes up that an agent was connected to an earlier process; see
// [Table.RestoreMember]. It is ordered with the sightings, and does not wait.
func (d *Detector) RestoreMember(id AgentID, lastSeen Instant) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, _ Instant) { t.RestoreMember(id, lastSeen) })
}

// restoreHeldAlert restores that an agent flaps, and that its alert is held: because of that
// or of an outage, or else for an Interval, in which it may come back.
func (t *Table) restoreHeldAlert(slot int32, a *Restored) {
	s := &t.state[slot]
	away := a.Status == Disconnected
	l := loss{slot: slot, id: a.ID, at: a.Since}
	held := away && a.AlertHeld && !s.has(awayInOutage)
	if a.Flapping && t.set.FlapThreshold > 0 {
		f := &flap{times: []Instant{max(a.Since, t.restoreHold().Add(-t.set.FlapWindow))}, flapping: true}
		if held {
			s.flags |= flapHeld
			f.loss = l
		}
		t.flaps[slot] = f
		s.flags |= hasFlap
		t.ensureDueBy(slot, t.flapExpiry(slot))
	} else if held {
		s.flags |= alertWaiting
		t.outage.queue = append(t.outage.queue, l)
	}
	if away && a.Outage {
		s.flags |= lostInOutage
	}
}

// restoreOutagePart makes an agent part of the restored outage, if it was. Its loss is marked
// with that, unless it was decided before the outage was reported.
func (t *Table) restoreOutagePart(slot int32, a *Restored, last *Outage) {
	s := &t.state[slot]
	lost := a.Reason.IsLoss() && a.Status == Disconnected
	away := lost && (a.Outage || !a.Silenced && last.isUnmarkedLoss(a.Since, t.span))
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
		t.outage.report.countLost(s.has(memberClosed), 1)
	}
	l := loss{slot: slot, id: a.ID, at: never} // its loss is not its last change
	if away {
		s.flags |= awayInOutage | lostInOutage
		t.outage.membersAway++
		l.at = a.Since
	}
	t.outage.members = append(t.outage.members, l)
}

// isUnmarkedLoss reports whether an unmarked loss at that time is part of the outage:
// one of those from which the outage was detected.
func (o *Outage) isUnmarkedLoss(at Instant, span time.Duration) bool {
	first := at <= o.Since.Add(span+wallClockError)
	if o.Ended != 0 {
		return first
	}
	return at <= o.ReportedAt.Add(wallClockError) && (first || at >= o.ReportedAt.Add(-span-wallClockError))
}
