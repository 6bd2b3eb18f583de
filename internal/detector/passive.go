package detector

import (
	"cmp"
	"math"
	"time"
)

// A passive agent is one that its link cannot send keep-alives, and whose signs of life it
// sees only in steps: not each keep-alive, but one in some time. It is given up by
// its silence alone, after the step and what an agent may be late beside; where its own
// keep-alives come further apart, after what they let expect.

// passive is what the table knows of passive agents in common.
type passive struct {
	step    time.Duration // the least time between two signs of life, but for a startup
	timeout time.Duration // of silence; 0 for that of the settings
	groups  []Group       // the settings' groups as they are for them
	held    Instant       // none is given up before
}

const (
	// passiveDeviations is how many standard deviations above their mean the gaps
	// between a passive agent's signs of life are expected to be at most. In steps they
	// are of two lengths, if anything, so that few are enough.
	passiveDeviations = 2
	// passiveMargin is what a sign of life may be later than expected.
	passiveMargin = 10 * time.Second
	// maxPassiveFactor bounds how many timeouts a passive agent has at most, whatever its
	// gaps are, and the longest silence that may be a gap.
	maxPassiveFactor = 2
	// stepError is what a gap may be shorter than a step: times are whole seconds.
	stepError = 2 * time.Second
)

// SetPassivePace sets the least time between two signs of life of a passive agent, but for
// its startup, and the silence after which one is given up. If that is shorter than it was,
// it begins anew for all.
func (t *Table) SetPassivePace(step, timeout time.Duration, now Instant) {
	was := t.passive.timeout
	if was == timeout && t.passive.step == step {
		return
	}
	t.passive.step, t.passive.timeout = step, timeout
	t.derivePassiveGroups()
	if was > timeout {
		t.HoldPassive(now, timeout)
	}
	for slot := range t.state {
		if s := &t.state[slot]; s.has(used) && s.isPassive() {
			s.flags &^= inSequence
			s.arrivals = arrivalWindow{inSteps: true} // of another pace
			t.ensureDueBy(int32(slot), now)
		}
	}
}

// derivePassiveGroups makes the groups of passive agents from the settings'. A timeout that
// is longer in a group than for all is meant for agents that are silent for long.
func (t *Table) derivePassiveGroups() {
	t.passive.groups = make([]Group, len(t.groups))
	for i, g := range t.groups {
		p := Group{Timeout: cmp.Or(t.passive.timeout, t.set.Timeout), MaxMissed: g.MaxMissed}
		if g.Timeout > t.set.Timeout {
			p.Timeout = max(p.Timeout, g.Timeout)
		}
		t.passive.groups[i] = p
	}
}

// SetPassive sets whether an agent is passive. Unknown agents are ignored.
func (t *Table) SetPassive(id AgentID, is bool, now Instant) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok || t.state[slot].isPassive() == is {
		return
	}
	s := &t.state[slot]
	s.flags &^= probing | suspected | keepAliveSent | inSequence // of the other kind
	s.arrivals = arrivalWindow{inSteps: is}
	t.setResponsive(s)
	t.ensureDueBy(slot, now)
	if s.isWatched() && !s.has(losing|restored) {
		s.missed = 0
		if is && s.has(closed) {
			s.flags &^= closed
		}
		t.scheduleKeepAlive(slot, now)
	}
}

// HoldPassive reports that the signs of life of passive agents may not be seen: none of them
// is given up for d from now. It may be called repeatedly.
func (t *Table) HoldPassive(now Instant, d time.Duration) {
	t.passive.held = max(t.passive.held, now.Add(d))
}

// passiveDeadline returns when a passive agent is given up for its silence, but for a grace.
func (t *Table) passiveDeadline(s *state) Instant {
	timeout := t.groupOf(s).Timeout
	if gap := s.arrivals.expectedGap(); gap > 0 && gap+passiveMargin > timeout {
		timeout = min(gap+passiveMargin, maxPassiveFactor*timeout)
	}
	return max(s.lastSeen.Add(timeout), t.passive.held)
}

// isPassiveGap reports whether the time to an agent's sign of life is a gap between its
// keep-alives. For a passive one it is none while they may not be seen, nor if it is shorter
// than a step, as after a startup that was not seen. But one that was given up, and is
// back without a startup, was perhaps given up too early.
func (t *Table) isPassiveGap(s *state, at Instant) bool {
	gap := time.Duration(instantToMilliseconds(at)-s.arrivals.last) * time.Millisecond
	if at < max(t.graceUntil(s), t.passive.held) || gap < t.passive.step-stepError {
		return false
	}
	return s.has(inSequence) || s.status == Disconnected && s.reason.isSilence() && s.arrivals.last != 0 && gap <= maxPassiveFactor*t.groupOf(s).Timeout
}

// expectedGap returns the longest gap that is expected, 0 while none is known.
func (r *arrivalWindow) expectedGap() time.Duration {
	if r.gaps == 0 {
		return 0
	}
	return time.Duration((float64(r.mean) + passiveDeviations*math.Sqrt(float64(r.variance))) * float64(time.Millisecond))
}

// SetPassive sets whether an agent is passive; see [Table.SetPassive]. It is ordered with
// the sightings, and does not wait.
func (d *Detector) SetPassive(id AgentID, is bool) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.SetPassive(id, is, now) })
}

// SetPassivePace sets in which steps passive agents are seen, and after which silence they
// are given up; see [Table.SetPassivePace]. It does not wait.
func (d *Detector) SetPassivePace(step, timeout time.Duration) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.SetPassivePace(step, timeout, now) })
}

// HoldPassive gives up no passive agent for a time from now; see [Table.HoldPassive]. It
// returns when that is done, or when the detector has ended.
func (d *Detector) HoldPassive(hold time.Duration) {
	d.callTableAndWait(func(t *Table, now Instant) { t.HoldPassive(now, hold) })
}
