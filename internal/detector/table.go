package detector

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
	"unique"
)

// A Table holds the agents and decides about them. Its columns are indexed by
// slot. The sweep reads only due; a sighting touches one element of state. The
// rest is read when there is something to report.
type Table struct {
	set    Settings
	groups []Group // the settings' first group and the others
	slots  slotIndex
	free   []int32 // slots that agents were removed from

	due        []Instant // not later than the next moment the agent needs attention
	state      []state
	identities []identity
	share      []Instant // when MaxChanges changes of the agent may be reported again; see excess

	count        [4]int // agents by status, without those that are elsewhere
	unresponsive int    // watched agents that do not answer, or whose connection closed, without the silenced
	silenced     int    // watched agents that are silenced
	dormant      int    // agents that are dormant
	away         int    // agents that are elsewhere, and not watched
	places       map[int32]place
	started      Instant       // when the first members were set: restored agents may reconnect from then on
	resumed      Instant       // when the detector last resumed after a pause
	pause        time.Duration // how long that pause was

	shortened Instant // when new settings last made a timeout shorter

	decisions []Decision
	limited   int  // decisions that limitReportedChanges has processed
	hasReport bool // reportChange added a decision since
	batch     batch
	span      time.Duration // losses within it belong together: the interval, without keep-alives the timeout
	outage    outage
	reliefs   []relief // within the last span, oldest first
	flaps     map[int32]*flap

	excess map[int32]*excess

	passive       passive
	addresses     addressSet
	probes        hostProbes
	silencedLater map[AgentID]bool // silenced agents that are not in the table
}

// identity is the part of an agent that is read to report about it. It has the size
// of a line of the processor's cache.
type identity struct {
	name  string
	ip    string   // where it was seen last; before, what it is registered under: "any", an address or a network
	addr  [16]byte // where it was seen last: of state.addrKind
	since Instant  // when its status became what it is
	info  unique.Handle[Info]
}

// state is the state of one agent. A probe is a keep-alive that was sent and is not
// answered yet. It has the size of a line of the processor's cache, because memory
// access is most of the cost of a sighting.
type state struct {
	lastSeen   Instant // last sign of life
	nextAction Instant // next action: end of grace if closed, a miss if probing, else the next keep-alive
	sentAt     Instant // when the last keep-alive was sent
	arrivals   arrivalWindow
	id         AgentID
	token      uint32 // of the last keep-alive
	rtt        uint32 // of the last answered one: microseconds
	flags      flags
	missed     uint16
	group      uint8
	status     Status
	reason     Reason // of the last change
	from       Status // before the last change, if that was a disconnection
	step       uint8  // of its absence: see escalateAgent
	addrKind   addrKind
}

type flags uint32

const (
	used          flags = 1 << iota // the slot holds an agent
	closed                          // its connection closed, the grace runs
	probing                         // a probe awaits its answer
	suspected                       // it is later than its arrivals let expect: probes follow at SuspectTimeout
	unresponsive                    // it counts in the table's unresponsive
	wasActive                       // it has been active before
	seen                            // there was a sign of life
	keepAliveSent                   // a keep-alive went out since it came back (methods without answers)
	inSequence                      // the time to its next keep-alive is a gap
	restored                        // it was watched by an earlier process, and has not been seen by this one
	answered                        // its last keep-alive was answered
	recentlyLost                    // lost within the last interval, and still away
	unanswered                      // the same, after MaxMissed unanswered keep-alives
	hasRelief                       // it has a relief
	member                          // it was lost in the current outage, or in one whose hold has not ended
	memberClosed                    // the same: its connection had closed
	awayInOutage                    // the same, and it is still away; its alert is held
	alertWaiting                    // its alert is held to see whether an outage comes
	flapHeld                        // its alert is held because it flaps
	hasFlap                         // it has a flap
	hasExcess                       // it has an excess
	listed                          // scratch of SetMembers: still in the inventory
	elsewhere                       // another node has it, or had it last: it has a place; if NeverConnected, it is not counted
	losing                          // its loss waits for the probe of its host
	hasHostProbe                    // it has a hostProbe
	lostClosed                      // its connection had closed when it was lost
	lostInOutage                    // its loss is part of an outage
	silenced                        // its alerts wait
	silenceHeld                     // its alert is held until it is silenced no more
	stepHeld                        // the step of its absence is not reported yet
	dormant                         // it counts in the table's dormant
	alerted                         // the alert of its loss is reported

	alertHeld = awayInOutage | alertWaiting | flapHeld | silenceHeld
)

func (s *state) has(f flags) bool { return s.flags&f != 0 }

// isWatched reports whether the agent is one that keep-alives go to.
func (s *state) isWatched() bool { return s.status == Active || s.status == Pending }

// isPassive reports whether the agent cannot be asked: see passive.go.
func (s *state) isPassive() bool { return s.arrivals.inSteps }

// NewTable returns an empty table.
func NewTable(set Settings) *Table {
	t := &Table{set: set, groups: append([]Group{set.Group}, set.Groups...), span: cmp.Or(set.Interval, set.Timeout),
		flaps: make(map[int32]*flap), excess: make(map[int32]*excess), silencedLater: make(map[AgentID]bool)}
	t.derivePassiveGroups()
	t.addresses = newAddressSet(t.addrOf)
	t.probes.byAgent, t.places = make(map[int32]*hostProbe), make(map[int32]place)
	return t
}

// Len returns the number of agents.
func (t *Table) Len() int { return t.slots.count }

// Counts are the numbers of agents.
type Counts struct {
	ByStatus [4]int // indexed by Status, without those that are elsewhere
	Dormant  int    // of the disconnected
}

// Counts returns the numbers of agents.
func (t *Table) Counts() Counts { return Counts{ByStatus: t.count, Dormant: t.dormant} }

// countWatchedAgents returns how many agents keep-alives go to, without the silenced.
func (t *Table) countWatchedAgents() int { return t.count[Active] + t.count[Pending] - t.silenced }

// TakeDecisions returns the decisions since its last call, in order. They are valid
// until the table's next method call.
func (t *Table) TakeDecisions() []Decision {
	out := t.decisions
	t.decisions, t.limited = t.decisions[:0], 0
	if cap(t.decisions) > maxSpareDecisions {
		t.decisions = nil
	}
	return out
}

// maxSpareDecisions bounds the memory for decisions that is kept after a burst.
const maxSpareDecisions = 1 << 14

// addDecision appends a decision about the agent in a slot and returns it to be
// filled in; the pointer is valid until the next call.
func (t *Table) addDecision(v Verdict, at Instant, slot int32) *Decision {
	w, s := &t.identities[slot], &t.state[slot]
	d := t.extendDecisions()
	d.Verdict, d.At, d.ID, d.Group, d.Name, d.IP = v, at, s.id, int(s.group), w.name, w.ip
	return d
}

// extendDecisions appends an empty decision. It is cleared in place: to build it apart
// and copy it is a third of the cost of a keep-alive.
func (t *Table) extendDecisions() *Decision {
	if len(t.decisions) == cap(t.decisions) {
		t.decisions = slices.Grow(t.decisions, 1)
	}
	t.decisions = t.decisions[:len(t.decisions)+1]
	d := &t.decisions[len(t.decisions)-1]
	*d = Decision{}
	return d
}

// setStatus sets an agent's status and reports the change.
func (t *Table) setStatus(slot int32, to Status, reason Reason, at Instant) {
	s := &t.state[slot]
	if s.has(elsewhere) {
		t.forgetElsewhere(slot)
	}
	from := s.status
	t.countSilenced(s, -1)
	t.count[from]--
	t.count[to]++
	s.status, s.reason, s.from, t.identities[slot].since = to, reason, from, at
	t.countSilenced(s, 1)
	if to == Active {
		s.flags |= wasActive
	}
	t.batch.addStatusChange(slot, s, from, len(t.decisions))
	if from == Disconnected {
		t.endAbsence(slot) // it is back, or removed
	}
	if to == Disconnected && s.has(silenced) && !reason.isRemoval(to) {
		s.flags |= silenceHeld
	}
	t.reportChange(Changed, slot).AlertHeld = s.has(silenceHeld)
}

// reportChange adds a decision about an agent's last change.
func (t *Table) reportChange(v Verdict, slot int32) *Decision {
	s := &t.state[slot]
	t.hasReport = true
	d := t.addDecision(v, t.identities[slot].since, slot)
	d.From, d.To, d.Reason, d.Missed = s.from, s.status, s.reason, int(s.missed)
	d.LastSeen, d.Seen = s.lastSeen, s.has(seen) && !s.has(restored) // what was restored may be out of date
	d.Info, d.Silenced = t.identities[slot].info.Value(), s.has(silenced)
	d.Evidence = t.evidenceOf(slot, d.Seen)
	return d
}

// setUnresponsive records that an agent does not answer, or that its connection
// closed; setResponsive that it is alive, or was given up.
func (t *Table) setUnresponsive(s *state) {
	if !s.has(unresponsive) {
		s.flags |= unresponsive
		t.countUnresponsive(s, 1)
	}
}

func (t *Table) setResponsive(s *state) {
	if s.has(unresponsive) {
		t.countUnresponsive(s, -1)
		s.flags &^= unresponsive
	}
}

// countUnresponsive counts an unresponsive agent, unless it is silenced.
func (t *Table) countUnresponsive(s *state, n int) {
	if !s.has(silenced) {
		t.unresponsive += n
	}
}

func (t *Table) groupOf(s *state) *Group {
	if s.isPassive() {
		return &t.passive.groups[s.group]
	}
	return &t.groups[s.group]
}

// updateAgentGroup determines an agent's group again, which may depend on its address.
func (t *Table) updateAgentGroup(slot int32, now Instant) {
	if t.set.GroupOf == nil {
		return
	}
	s := &t.state[slot]
	group := t.findGroup(slot)
	if group == s.group {
		return
	}
	s.group = group
	t.ensureDueBy(slot, t.absenceDue(slot))
	if s.isWatched() && !s.has(losing) {
		t.ensureDueBy(slot, s.lastSeen.Add(t.groupOf(s).Timeout))
		if !s.has(probing | closed) {
			t.scheduleKeepAlive(slot, now)
		}
	}
}

// findGroup returns the number of an agent's group by the settings.
func (t *Table) findGroup(slot int32) uint8 {
	if t.set.GroupOf == nil {
		return 0
	}
	w := &t.identities[slot]
	return uint8(t.set.GroupOf(t.state[slot].id, w.name, t.addrOf(slot), w.info.Value()))
}

// scheduleKeepAlive sets the next keep-alive of a watched agent after now. Every slot
// has its own phase in the interval, and the golden ratio spreads any run of
// slots evenly over it, in whatever order the agents were added.
func (t *Table) scheduleKeepAlive(slot int32, now Instant) {
	s := &t.state[slot]
	s.flags &^= probing
	s.nextAction = nextKeepAlive(now, t.groupOf(s).Interval, slot)
	t.ensureDueBy(slot, s.nextAction)
}

// nextKeepAlive returns the first instant after now at the slot's phase of the interval.
func nextKeepAlive(now Instant, interval time.Duration, slot int32) Instant {
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

// ensureDueBy makes the sweep process a slot no later than at.
func (t *Table) ensureDueBy(slot int32, at Instant) { t.due[slot] = min(t.due[slot], at) }
