package detector

import "slices"

// flap is the history of the status changes of an agent since a disconnection. It is
// dropped after a FlapWindow without a change.
type flap struct {
	times    []Instant // the latest FlapThreshold+1 at most, oldest first
	flapping bool
	loss     loss // the last, if its alert is held because of the flapping
}

// countFlapChange counts a change. A history begins with a disconnection, and changes
// in an outage do not count: a fleet that connects for the first time, or is lost and
// reconnects as one, has none.
func (t *Table) countFlapChange(n *change) {
	s, d := &t.state[n.slot], &t.decisions[n.decision]
	if d.Verdict != Changed || d.Reason.isRemoval(d.To) || d.Silenced || d.Outage || n.flagsBefore&awayInOutage != 0 {
		return
	}
	f := t.flaps[n.slot]
	if f == nil {
		if d.To != Disconnected {
			return
		}
		f = &flap{}
		t.flaps[n.slot] = f
		s.flags |= hasFlap
	}
	window := d.At.Add(-t.set.FlapWindow)
	f.times = slices.DeleteFunc(append(f.times, d.At), func(at Instant) bool { return at <= window })
	f.times = f.times[max(0, len(f.times)-t.set.FlapThreshold-1):]
	t.ensureDueBy(n.slot, t.flapExpiry(n.slot))
	t.updateFlappingState(n, f)
}

func (t *Table) updateFlappingState(n *change, f *flap) {
	began := !f.flapping && len(f.times) > t.set.FlapThreshold
	f.flapping = f.flapping || began
	if !f.flapping {
		return
	}
	f.loss = loss{}
	at := t.decisions[n.decision].At
	if l, ok := t.absenceOfChange(n, at); ok {
		t.state[n.slot].flags |= flapHeld
		t.decisions[n.decision].AlertHeld = true
		f.loss = l
	}
	if began {
		t.addDecision(Flapping, at, n.slot).Changes = len(f.times)
	}
}

// flapExpiry returns when an agent's flap is dropped.
func (t *Table) flapExpiry(slot int32) Instant {
	if !t.state[slot].has(hasFlap) {
		return never
	}
	times := t.flaps[slot].times
	return times[len(times)-1].Add(t.set.FlapWindow)
}

// expireFlap drops the flap of an agent that has been stable for a window,
// and reports the alert of its last loss if that was held.
func (t *Table) expireFlap(slot int32, now Instant) {
	if t.flapExpiry(slot) > now {
		return
	}
	l := t.flaps[slot].loss
	delete(t.flaps, slot)
	t.state[slot].flags &^= hasFlap
	if l.id != 0 {
		t.releaseHeldAlert(&l, flapHeld, now)
	}
}
