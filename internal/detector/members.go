package detector

import (
	"slices"
	"strings"
	"time"
	"unique"
)

// Member is an agent in the inventory.
type Member struct {
	ID   AgentID
	Name string
	IP   string // the address it is registered under: "any", an address or a network

	Active    bool   // of a new member: it is active by what another node has reported, so that this is no change
	Away      Reason // of a new member: it was disconnected before it was watched, for this reason
	Elsewhere bool   // it is no member: another node watches it, under any name
}

// SetMembers makes the table hold exactly these agents. Others are reported as removed,
// or as moved to another node, and dropped; a new one has never been connected unless
// Away is set. An id under another name is another agent. Members may not repeat an id.
func (t *Table) SetMembers(members []Member, now Instant) {
	for i := range members {
		slot, ok := t.slots.findAgentSlot(members[i].ID)
		switch {
		case ok && members[i].Elsewhere:
			t.removeMember(slot, AgentMoved, now)
		case !ok || t.identities[slot].name != members[i].Name:
		default:
			t.state[slot].flags |= listed
			if t.state[slot].addrKind == noAddr {
				t.identities[slot].ip = members[i].IP
			}
		}
	}
	for slot := range t.state {
		s := &t.state[slot]
		if s.has(used) && !s.has(listed) {
			t.removeMember(int32(slot), AgentRemoved, now)
		}
		s.flags &^= listed
	}
	if t.started == 0 {
		t.started = now
	}
	t.growColumns(len(members) - t.Len())
	for i := range members {
		if _, ok := t.slots.findAgentSlot(members[i].ID); !ok && !members[i].Elsewhere {
			t.addAgent(&members[i], now)
		}
	}
	t.evaluateFleetChanges(now)
}

// growColumns allocates memory for n more agents at once.
func (t *Table) growColumns(n int) {
	if n -= len(t.free); n > 0 {
		t.due, t.state, t.identities = slices.Grow(t.due, n), slices.Grow(t.state, n), slices.Grow(t.identities, n)
		t.share = slices.Grow(t.share, n)
	}
}

func (t *Table) addAgent(m *Member, now Instant) int32 {
	slot := int32(len(t.state))
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.due = append(t.due, never)
		t.state = append(t.state, state{})
		t.identities = append(t.identities, identity{})
		t.share = append(t.share, 0)
	}
	t.slots.addAgentSlot(m.ID, slot)
	t.state[slot] = state{id: m.ID, status: NeverConnected, flags: used}
	t.identities[slot] = identity{name: strings.Clone(m.Name), ip: m.IP, since: now, info: noInfo}
	s := &t.state[slot]
	if m.Away != NoReason {
		s.status, s.reason, s.step = Disconnected, m.Away, noSteps
		s.flags |= wasActive
		t.ensureDueBy(slot, t.absenceDue(slot))
	}
	if m.Active {
		s.status, s.lastSeen = Active, now
		s.flags |= wasActive | seen
	}
	if t.silencedLater[m.ID] {
		delete(t.silencedLater, m.ID)
		s.flags |= silenced
	}
	t.count[s.status]++
	t.updateAgentGroup(slot, now)
	if m.Active {
		t.scheduleKeepAlive(slot, now)
	}
	return slot
}

func (t *Table) removeAgent(slot int32, reason Reason, now Instant) {
	s := &t.state[slot]
	t.setStatus(slot, Disconnected, reason, now)
	t.endExcess(slot)
	t.count[Disconnected]--
	t.setResponsive(s)
	t.freeSlot(slot)
}

// dropAgent removes an agent that another node has, without a change.
func (t *Table) dropAgent(slot int32) {
	t.away--
	t.share[slot] = 0
	t.freeSlot(slot)
}

func (t *Table) freeSlot(slot int32) {
	s := &t.state[slot]
	t.forgetHostProbe(slot)
	t.forgetAddress(slot)
	if s.has(silenced) {
		t.silencedLater[s.id] = true
	}
	t.slots.removeAgentSlot(s.id)
	delete(t.flaps, slot)
	delete(t.places, slot)
	t.due[slot], t.state[slot], t.identities[slot] = never, state{}, identity{}
	t.free = append(t.free, slot)
}

// Record is a copy of what the table holds about one agent. It is small, because most of
// the cost of a page is to write its records.
type Record struct {
	ID        AgentID
	Status    Status
	Reason    Reason // of the last change; NoReason before the first
	Seen      bool   // there was a sign of life
	Silenced  bool
	Elsewhere bool  // another node of the cluster has it, or had it last, and this one does not watch it
	Dormant   bool  // it is disconnected, and away for Settings.DormantAfter
	AlertHeld bool  // the alert of its loss is held: AlertReleased or Escalated follows unless it comes back
	Step      uint8 // of Settings.EscalateAfter that it has reached; 0 before the first

	// In a fleet of several nodes, which this package does not know:
	Node       uint8 // the number of the node that has it; 0 for this one
	Coarse     bool  // it is seen through its manager's database only, and late
	Duplicated bool  // two machines use its key

	Group    int
	Name     string
	IP       string
	Since    Instant
	LastSeen Instant // of use only when Seen
	Missed   int
	RTT      time.Duration       // of the last answered keep-alive; 0 before the first
	Info     unique.Handle[Info] // see ReadInfo
	Evidence *Evidence           // of a disconnected agent; nil of others
}

// PageSize is how many slots a page covers: few enough not to hold up a sweep.
const PageSize = 4096

// Page appends the agents of page n, counted from 0, to dst, and reports
// whether there are more pages. Agents are in slot order, which is the order in which
// they were added.
func (t *Table) Page(dst []Record, n int) (_ []Record, more bool) {
	lo, hi := min(n*PageSize, len(t.state)), min((n+1)*PageSize, len(t.state))
	var away []Evidence
	for slot := lo; slot < hi; slot++ {
		s := &t.state[slot]
		if !s.has(used) {
			continue
		}
		dst = append(dst, Record{})
		r := &dst[len(dst)-1]
		t.fillRecord(r, int32(slot))
		if s.status == Disconnected {
			if len(away) == cap(away) {
				away = make([]Evidence, 0, 64) // one allocation for many
			}
			away = append(away, t.evidenceOf(int32(slot), r.Seen))
			r.Evidence = &away[len(away)-1]
		}
	}
	return dst, hi < len(t.state)
}

// Agent returns one agent.
func (t *Table) Agent(id AgentID) (Record, bool) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok {
		return Record{}, false
	}
	var r Record
	t.fillRecord(&r, slot)
	if r.Status == Disconnected {
		e := t.evidenceOf(slot, r.Seen)
		r.Evidence = &e
	}
	return r, true
}

// fillRecord sets the fields of an empty record, but for the evidence.
func (t *Table) fillRecord(r *Record, slot int32) {
	s, w := &t.state[slot], &t.identities[slot]
	r.ID, r.Group, r.Name, r.IP, r.Info = s.id, int(s.group), w.name, w.ip, w.info
	r.Status, r.Reason, r.Since, r.Missed = s.status, s.reason, w.since, int(s.missed)
	r.LastSeen, r.Seen, r.RTT = s.lastSeen, s.has(seen), time.Duration(s.rtt)*time.Microsecond
	r.Silenced, r.Dormant, r.AlertHeld = s.has(silenced), s.has(dormant), s.has(alertHeld) && !s.has(alerted)
	r.Elsewhere = s.isAway()
	if s.step != noSteps {
		r.Step = s.step
	}
}
