package detector

// round is what changed since the table last judged the fleet as a whole. Only
// then it shows whether a loss stands alone or is one of many.
type round struct{ notes []note }

// note is one change of status.
type note struct {
	slot int32
	out  int32 // its decision
	id   AgentID
	from Status
	was  flags // the agent's flags before
}

func (r *round) note(slot int32, s *state, from Status, out int) {
	r.notes = append(r.notes, note{slot: slot, id: s.id, out: int32(out), from: from, was: s.flags})
	if from == Disconnected {
		s.flags &^= lately | inVain | alertHeld // it is back, or forgotten
	}
}

// judge looks at the fleet as a whole after each round of sightings or
// deadlines: outages first, because what is part of one is no flapping.
func (t *Table) judge(now Instant) {
	if t.set.OutageShare > 0 && (len(t.round.notes) > 0 || t.fleet.busy()) {
		t.judgeOutage(now)
	}
	if t.set.FlapThreshold > 0 {
		for i := range t.round.notes {
			t.judgeFlap(&t.round.notes[i])
		}
	}
	t.round.notes = t.round.notes[:0]
	t.limitChanges(now)
}

// loss is an agent that was given up.
type loss struct {
	slot int32
	id   AgentID
	from Status
	at   Instant // by its deadline
	told Instant // by the round in which it was decided
}

// lossOf returns the loss that a note is about: of an agent that was given up,
// not one that said goodbye or was removed, and that is still away.
func (t *Table) lossOf(n *note, now Instant) (l loss, ok bool) {
	d := &t.out[n.out]
	if d.To != Disconnected || !d.Reason.IsLoss() {
		return loss{}, false
	}
	l = loss{slot: n.slot, id: n.id, from: n.from, at: d.At, told: now}
	return l, t.stands(&l)
}

// stands reports whether the agent is still away because of this loss.
func (t *Table) stands(l *loss) bool {
	s := &t.state[l.slot]
	return s.id == l.id && s.status == Disconnected && t.who[l.slot].since == l.at
}

// release tells the alert of a loss that was held for a cause, unless the agent
// is back or its alert is held for another one.
func (t *Table) release(l *loss, cause flags) {
	s := &t.state[l.slot]
	if !t.stands(l) || !s.has(cause) {
		return
	}
	s.flags &^= cause
	if !s.has(alertHeld) {
		t.say(AlertReleased, l.slot, l.from).Outage = cause == missing
	}
}
