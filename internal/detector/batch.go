package detector

// batch holds the status changes since the table last evaluated the fleet as a whole,
// which decides whether a loss is one of many.
type batch struct{ changes []change }

// change is one change of status.
type change struct {
	slot        int32
	decision    int32 // its decision
	id          AgentID
	from        Status
	flagsBefore flags // the agent's flags before
}

func (r *batch) addStatusChange(slot int32, s *state, from Status, out int) {
	r.changes = append(r.changes, change{slot: slot, id: s.id, decision: int32(out), from: from, flagsBefore: s.flags})
	if from == Disconnected {
		s.flags &^= recentlyLost | unanswered | alertHeld | alerted
	}
}

// evaluateFleetChanges evaluates the fleet as a whole after each batch of sightings or
// deadlines: outages first, because changes in an outage are no flapping.
func (t *Table) evaluateFleetChanges(now Instant) {
	switch {
	case t.set.OutageShare > 0 && (len(t.batch.changes) > 0 || len(t.probes.waiting) > 0 || t.outage.needsSweep()):
		t.updateOutage(now)
	case len(t.outage.queue) > 0:
		t.releaseWaitingAlerts(now)
	}
	t.askWaitingHosts(now)
	if t.set.FlapThreshold > 0 {
		for i := range t.batch.changes {
			t.countFlapChange(&t.batch.changes[i])
		}
	}
	t.recordAlerts()
	t.batch.changes = t.batch.changes[:0]
	t.limitReportedChanges(now)
}

// recordAlerts records of which agents the batch's decisions report the alert: an outage may
// begin yet that they are part of, and at whose end the others have theirs.
func (t *Table) recordAlerts() {
	for i := range t.batch.changes {
		n := &t.batch.changes[i]
		d := &t.decisions[n.decision]
		l := loss{slot: n.slot, id: n.id, at: d.At}
		if d.To == Disconnected && !d.AlertHeld && t.isStillLost(&l) {
			t.state[n.slot].flags |= alerted
		}
	}
}

// loss is an agent that was given up.
type loss struct {
	slot      int32
	id        AgentID
	at        Instant // by its deadline
	decidedAt Instant // by the batch in which it was decided
}

// lossOfChange returns the loss of a change: of an agent that was given up, not of one that
// shut down or was removed or is silenced, and that is still away.
func (t *Table) lossOfChange(n *change, now Instant) (l loss, ok bool) {
	if !t.decisions[n.decision].Reason.IsLoss() {
		return loss{}, false
	}
	return t.absenceOfChange(n, now)
}

// absenceOfChange returns the same, also of an agent that shut down.
func (t *Table) absenceOfChange(n *change, now Instant) (l loss, ok bool) {
	d := &t.decisions[n.decision]
	if d.To != Disconnected || d.Reason.isRemoval(d.To) || d.Silenced {
		return loss{}, false
	}
	l = loss{slot: n.slot, id: n.id, at: d.At, decidedAt: now}
	return l, t.isStillLost(&l)
}

// isStillLost reports whether the agent is still away because of this loss.
func (t *Table) isStillLost(l *loss) bool {
	s := &t.state[l.slot]
	return s.id == l.id && s.status == Disconnected && t.identities[l.slot].since == l.at
}

// releaseHeldAlert reports the alert of a loss that was held for a cause, unless the agent
// is back or its alert is held for another one.
func (t *Table) releaseHeldAlert(l *loss, cause flags, now Instant) {
	if s := &t.state[l.slot]; t.isStillLost(l) && s.has(cause) {
		s.flags &^= cause
		t.releaseAlert(l.slot, now)
	}
}

// releaseAlert reports the alert of an agent that is away, which was held, as one: that of
// the step of its absence if it has reached one meanwhile. An alert that was reported
// before there was a reason to hold it is not repeated.
func (t *Table) releaseAlert(slot int32, now Instant) {
	s := &t.state[slot]
	switch {
	case s.has(alertHeld):
	case s.has(silenced):
		s.flags |= silenceHeld
	case s.has(stepHeld):
		t.reportStep(slot, now)
	case !s.has(alerted):
		s.flags |= alerted
		t.reportChange(AlertReleased, slot).Outage = s.has(lostInOutage)
	}
}
