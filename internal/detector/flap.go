package detector

import "slices"

// flap is the history of an agent that went away not long ago: its changes of
// status since. It is forgotten after a FlapWindow without a change.
type flap struct {
	times    []Instant // the latest FlapThreshold+1 at most, oldest first
	flapping bool
	loss     loss // the last, if its alert is held because of the flapping
}

// judgeFlap counts a change. A history begins with a disconnection, and what
// belongs to an outage does not count: a fleet that comes for the first time,
// or goes and comes back as one, has none.
func (t *Table) judgeFlap(n *note) {
	s, d := &t.state[n.slot], &t.out[n.out]
	if d.Reason.leaves() || d.Outage || n.was&missing != 0 {
		return
	}
	f := t.flaps[n.slot]
	if f == nil {
		if d.To != Disconnected {
			return
		}
		f = &flap{}
		t.flaps[n.slot] = f
		s.flags |= unsteady
	}
	window := d.At.Add(-t.set.FlapWindow)
	f.times = slices.DeleteFunc(append(f.times, d.At), func(at Instant) bool { return at <= window })
	f.times = f.times[max(0, len(f.times)-t.set.FlapThreshold-1):]
	t.attend(n.slot, t.flapEnd(n.slot))
	t.judgeFlapping(n, f)
}

func (t *Table) judgeFlapping(n *note, f *flap) {
	began := !f.flapping && len(f.times) > t.set.FlapThreshold
	f.flapping = f.flapping || began
	if !f.flapping {
		return
	}
	f.loss = loss{}
	at := t.out[n.out].At
	if l, ok := t.lossOf(n, at); ok {
		t.state[n.slot].flags |= flapHeld
		t.out[n.out].AlertHeld = true
		f.loss = l
	}
	if began {
		t.decide(Flapping, at, n.slot).Changes = len(f.times)
	}
}

// flapEnd is when an agent's history is forgotten.
func (t *Table) flapEnd(slot int32) Instant {
	if !t.state[slot].has(unsteady) {
		return never
	}
	times := t.flaps[slot].times
	return times[len(times)-1].Add(t.set.FlapWindow)
}

// steady forgets the history of an agent that has been stable for a window,
// and tells the alert of its last loss if that was held.
func (t *Table) steady(slot int32, now Instant) {
	if t.flapEnd(slot) > now {
		return
	}
	l := t.flaps[slot].loss
	delete(t.flaps, slot)
	t.state[slot].flags &^= unsteady
	if l.id != 0 {
		t.release(&l, flapHeld)
	}
}
