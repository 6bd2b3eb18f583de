package detector

import (
	"slices"
	"strings"
)

// Member is an agent in the inventory.
type Member struct {
	ID   AgentID
	Name string
	IP   string // the address it is registered under: "any", an address or a network

	Away      Reason // of a new member: it is disconnected since before anybody watched it, for this reason
	Elsewhere bool   // it is no member: another node watches it, under whatever name
}

// SetMembers makes the table hold exactly these agents. One that is gone is
// reported as removed, or moved to another node, and forgotten; a new one has
// never been connected unless it is said to be away. An id that comes back under
// another name is another agent. Members may not repeat an id.
func (t *Table) SetMembers(members []Member, now Instant) {
	for i := range members {
		slot, ok := t.slots.get(members[i].ID)
		switch {
		case ok && members[i].Elsewhere:
			t.state[slot].flags |= moved
		case !ok || t.who[slot].name != members[i].Name:
		default:
			t.state[slot].flags |= kept
			if w := &t.who[slot]; !w.addr.IsValid() {
				w.ip = members[i].IP
			}
		}
	}
	for slot := range t.state {
		s := &t.state[slot]
		switch {
		case !s.has(used) || s.has(kept):
		case s.has(moved):
			t.remove(int32(slot), AgentMoved, now)
		default:
			t.remove(int32(slot), AgentRemoved, now)
		}
		s.flags &^= kept
	}
	if t.born == 0 {
		t.born = now
	}
	t.grow(len(members) - t.Len())
	for i := range members {
		if _, ok := t.slots.get(members[i].ID); !ok && !members[i].Elsewhere {
			t.add(&members[i], now)
		}
	}
	t.judge(now)
}

// grow makes room for n more agents, once instead of bit by bit.
func (t *Table) grow(n int) {
	if n -= len(t.free); n > 0 {
		t.due, t.state, t.who = slices.Grow(t.due, n), slices.Grow(t.state, n), slices.Grow(t.who, n)
		t.share = slices.Grow(t.share, n)
	}
}

func (t *Table) add(m *Member, now Instant) int32 {
	slot := int32(len(t.state))
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.due = append(t.due, never)
		t.state = append(t.state, state{})
		t.who = append(t.who, identity{})
		t.share = append(t.share, 0)
	}
	t.slots.put(m.ID, slot)
	t.state[slot] = state{id: m.ID, status: NeverConnected, flags: used}
	t.who[slot] = identity{name: strings.Clone(m.Name), ip: m.IP, since: now}
	if m.Away != NoReason {
		s := &t.state[slot]
		s.status, s.reason = Disconnected, m.Away
		s.flags |= greeted
	}
	t.count[t.state[slot].status]++
	t.regroup(slot, now)
	return slot
}

func (t *Table) remove(slot int32, why Reason, now Instant) {
	t.change(slot, Disconnected, why, now)
	t.endExcess(slot)
	t.count[Disconnected]--
	t.calm(&t.state[slot])
	t.slots.remove(t.state[slot].id)
	delete(t.flaps, slot)
	t.due[slot], t.state[slot], t.who[slot] = never, state{}, identity{}
	t.free = append(t.free, slot)
}
