package detector

import "time"

// Record is one agent as the table knows it.
type Record struct {
	ID       AgentID
	Group    int
	Name     string
	IP       string
	Status   Status
	Reason   Reason // of the last change; NoReason before the first
	Since    Instant
	LastSeen Instant // of use only when Seen
	Seen     bool    // there was a sign of life
	Missed   int
	RTT      time.Duration // of the last answered keep-alive; 0 before the first
}

// PageSize is how many slots a page covers: few enough not to hold up a sweep.
const PageSize = 4096

// Page appends the agents of page n, counted from 0, to dst, and reports
// whether there are more pages. Agents are in slot order, which is that of
// their arrival.
func (t *Table) Page(dst []Record, n int) (_ []Record, more bool) {
	lo, hi := min(n*PageSize, len(t.state)), min((n+1)*PageSize, len(t.state))
	for slot := lo; slot < hi; slot++ {
		if t.state[slot].has(used) {
			dst = append(dst, t.record(int32(slot)))
		}
	}
	return dst, hi < len(t.state)
}

// Agent returns one agent.
func (t *Table) Agent(id AgentID) (Record, bool) {
	slot, ok := t.slots.get(id)
	if !ok {
		return Record{}, false
	}
	return t.record(slot), true
}

func (t *Table) record(slot int32) Record {
	s, w := &t.state[slot], &t.who[slot]
	return Record{ID: s.id, Group: int(s.group), Name: w.name, IP: w.ip, Status: s.status, Reason: s.reason,
		Since: w.since, LastSeen: s.lastSeen, Seen: s.has(seen), Missed: int(s.missed),
		RTT: time.Duration(s.rtt) * time.Microsecond}
}
