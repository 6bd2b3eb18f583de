package detector

import (
	"cmp"
	"math/bits"
	"net/netip"
	"time"
)

// A Table holds the agents and decides about them. Its columns are indexed by
// slot. The sweep reads only due; a sighting touches one element of state. The
// rest is read when there is something to say.
type Table struct {
	set    Settings
	groups []Group // the settings' first group and the others
	slots  index
	free   []int32 // slots that agents were removed from

	due   []Instant // not later than the next moment the agent needs attention
	state []state
	who   []identity
	share []Instant // when the agent may have MaxChanges changes reported again; see excess

	count    [4]int        // agents by status
	troubled int           // watched agents that do not answer, or whose connection closed
	born     Instant       // when the first members came: restored agents may come back from then on
	resumed  Instant       // when the detector last came to itself
	lull     time.Duration // for how long it had been away then

	shortened Instant // when new settings last made a timeout shorter

	out     []Decision
	limited int // decisions in out that limitChanges has seen
	round   round
	span    time.Duration // losses within it belong together: the interval, without keep-alives the timeout
	fleet   outage
	reliefs []relief // within the last span, oldest first
	flaps   map[int32]*flap

	excess map[int32]*excess
}

// identity is who an agent is: read to report about it. It has the size of a
// line of the processor's cache.
type identity struct {
	name  string
	ip    string     // where it was seen last; before, what it is registered under: "any", an address or a network
	addr  netip.Addr // where it was seen last
	since Instant    // when its status became what it is
}

// state is what the detector knows of one agent. In the table's words, a probe
// is a keep-alive that was sent and is not answered yet. It has the size of a line
// of the processor's cache, as a sighting waits for memory more than for anything else.
type state struct {
	lastSeen Instant // last sign of life
	act      Instant // next action: end of grace if closed, a miss if probing, else the next keep-alive
	sentAt   Instant // when the last keep-alive was sent
	rhythm   rhythm
	id       AgentID
	token    uint32 // of the last keep-alive
	rtt      uint32 // of the last answered one: microseconds
	missed   uint16
	flags    flags
	group    uint8
	status   Status
	reason   Reason // of the last change
}

type flags uint32

const (
	used         flags = 1 << iota // the slot holds an agent
	closed                         // its connection closed, the grace runs
	probing                        // a probe awaits its answer
	suspected                      // it is late beyond its habit: probes follow in a quick pace
	troubled                       // it counts in the table's troubled
	greeted                        // it has been active before
	seen                           // there was a sign of life
	sent                           // a keep-alive went out since it came back (methods without answers)
	beating                        // its next keep-alive makes a gap with the last
	restored                       // it was there in an earlier life of the node, and has not been seen in this one
	answered                       // its last keep-alive was
	lately                         // lost within the last interval, and still away
	inVain                         // the same, and asked MaxMissed times before
	eased                          // it has a relief
	member                         // it was lost in the outage that goes on, or whose hold does
	memberClosed                   // the same: its connection had closed
	missing                        // the same, and it is still away; its alert is held
	waiting                        // its alert is held to see whether an outage comes
	flapHeld                       // its alert is held because it flaps
	unsteady                       // it has a flap
	excessive                      // it has an excess
	kept                           // scratch of SetMembers: still in the inventory
	moved                          // the same: in another node's

	alertHeld = missing | waiting | flapHeld
)

func (s *state) has(f flags) bool { return s.flags&f != 0 }

// watched reports whether the agent is one that keep-alives go to.
func (s *state) watched() bool { return s.status == Active || s.status == Pending }

// NewTable returns an empty table.
func NewTable(set Settings) *Table {
	return &Table{set: set, groups: append([]Group{set.Group}, set.Groups...), span: cmp.Or(set.Interval, set.Timeout),
		flaps: make(map[int32]*flap), excess: make(map[int32]*excess)}
}

// Len returns the number of agents.
func (t *Table) Len() int { return t.slots.count }

// Counts returns the number of agents in each status, indexed by Status.
func (t *Table) Counts() [4]int { return t.count }

// watching is how many agents keep-alives go to.
func (t *Table) watching() int { return t.count[Active] + t.count[Pending] }

// TakeDecisions returns the decisions since the last Take, in order. They are valid
// until the table's next method call.
func (t *Table) TakeDecisions() []Decision {
	out := t.out
	t.out, t.limited = t.out[:0], 0
	if cap(t.out) > maxSpare {
		t.out = nil
	}
	return out
}

// maxSpare bounds the decisions that the table keeps room for after a storm.
const maxSpare = 1 << 14

// decide appends a decision about the agent in a slot and returns it to be
// filled in; the pointer is good until the next call.
func (t *Table) decide(v Verdict, at Instant, slot int32) *Decision {
	w, s := &t.who[slot], &t.state[slot]
	t.out = append(t.out, Decision{Verdict: v, At: at, ID: s.id, Group: int(s.group), Name: w.name, IP: w.ip})
	return &t.out[len(t.out)-1]
}

// locate notes where an agent was seen. The text is made here, once, and not
// with every decision.
func (w *identity) locate(addr netip.Addr) { w.addr, w.ip = addr, addr.String() }

// change sets an agent's status and says so.
func (t *Table) change(slot int32, to Status, why Reason, at Instant) {
	s := &t.state[slot]
	from := s.status
	t.count[from]--
	t.count[to]++
	s.status, s.reason, t.who[slot].since = to, why, at
	if to == Active {
		s.flags |= greeted
	}
	t.round.note(slot, s, from, len(t.out))
	t.say(Changed, slot, from)
}

// say decides about an agent's last change, which was from a status.
func (t *Table) say(v Verdict, slot int32, from Status) *Decision {
	s := &t.state[slot]
	d := t.decide(v, t.who[slot].since, slot)
	d.From, d.To, d.Reason, d.Missed = from, s.status, s.reason, int(s.missed)
	d.LastSeen, d.Seen = s.lastSeen, s.has(seen) && !s.has(restored) // what is restored is older than the truth
	return d
}

// trouble notes that an agent does not answer, or is there no more; calm that
// it is well, or given up.
func (t *Table) trouble(s *state) {
	if !s.has(troubled) {
		s.flags |= troubled
		t.troubled++
	}
}

func (t *Table) calm(s *state) {
	if s.has(troubled) {
		s.flags &^= troubled
		t.troubled--
	}
}

func (t *Table) groupOf(s *state) *Group { return &t.groups[s.group] }

// regroup finds an agent's group anew: its address may be what decides.
func (t *Table) regroup(slot int32, now Instant) {
	if t.set.GroupOf == nil {
		return
	}
	s, w := &t.state[slot], &t.who[slot]
	group := uint8(t.set.GroupOf(s.id, w.name, w.addr))
	if group == s.group {
		return
	}
	s.group = group
	if s.watched() {
		t.attend(slot, s.lastSeen.Add(t.groupOf(s).Timeout))
		if !s.has(probing | closed) {
			t.schedule(slot, now)
		}
	}
}

// schedule sets the next keep-alive of a watched agent after now. Every slot
// has its own place in the interval, and the golden ratio spreads any run of
// slots evenly over it, however the agents came.
func (t *Table) schedule(slot int32, now Instant) {
	s := &t.state[slot]
	s.flags &^= probing
	s.act = nextTurn(now, t.groupOf(s).Interval, slot)
	t.attend(slot, s.act)
}

// nextTurn returns the first moment after now at which the slot's turn comes.
func nextTurn(now Instant, interval time.Duration, slot int32) Instant {
	if interval == 0 {
		return never
	}
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	phase, _ := bits.Mul64(uint64(slot)*golden, uint64(interval))
	past := (int64(now) - int64(phase)) % int64(interval)
	if past < 0 {
		past += int64(interval)
	}
	return now.Add(interval - time.Duration(past))
}

// attend makes the sweep look at a slot no later than at.
func (t *Table) attend(slot int32, at Instant) { t.due[slot] = min(t.due[slot], at) }
