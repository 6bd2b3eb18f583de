package detector

import (
	"slices"
	"time"
)

// noSteps is the step of an agent whose absence does not escalate: it was away before it
// was watched.
const noSteps = 255

// absenceDue returns when the absence of an agent is to be processed.
func (t *Table) absenceDue(slot int32) Instant {
	s, due := &t.state[slot], never
	if s.status != Disconnected {
		return due
	}
	since := t.identities[slot].since
	if t.set.DormantAfter > 0 && !s.has(dormant) {
		due = since.Add(t.set.DormantAfter)
	}
	if int(s.step) < len(t.set.EscalateAfter) {
		due = min(due, max(since.Add(t.set.EscalateAfter[s.step]), t.escalationGrace(slot)))
	}
	return due
}

// escalationGrace returns until when an absence does not escalate: while agents cannot be
// reached, and, of one that began before this process, until the agent had time to come
// back to it.
func (t *Table) escalationGrace(slot int32) Instant {
	s := &t.state[slot]
	grace := t.graceUntil(s)
	if t.identities[slot].since < 0 {
		grace = max(grace, t.started.Add(min(t.groupOf(s).Timeout, t.set.EscalateAfter[0])))
	}
	return grace
}

// decideAbsence decides what is due by now because an agent is away for so long.
func (t *Table) decideAbsence(slot int32, now Instant) {
	s, away := &t.state[slot], now.Sub(t.identities[slot].since)
	if t.set.DormantAfter > 0 && !s.has(dormant) && away >= t.set.DormantAfter {
		t.uncountAddress(slot)
		s.flags |= dormant
		t.dormant++
	}
	if step := t.countSteps(away); s.step < step && t.escalationGrace(slot) <= now {
		s.step = step
		if s.has(alertHeld | silenced) {
			s.flags |= stepHeld
		} else {
			t.reportStep(slot, now)
		}
	}
}

// countSteps returns how many steps an absence has that is so long.
func (t *Table) countSteps(away time.Duration) (n uint8) {
	for int(n) < len(t.set.EscalateAfter) && n < noSteps-1 && t.set.EscalateAfter[n] <= away {
		n++
	}
	return n
}

// reportStep reports the step that an agent's absence has reached.
func (t *Table) reportStep(slot int32, now Instant) {
	s := &t.state[slot]
	s.flags = s.flags&^stepHeld | alerted
	d := t.reportChange(Escalated, slot)
	d.Step, d.AwayFor, d.Outage = int(s.step), max(now.Sub(d.At).Truncate(time.Second), time.Second), s.has(lostInOutage)
}

// endAbsence forgets the absence of an agent that is back, or removed.
func (t *Table) endAbsence(slot int32) {
	s := &t.state[slot]
	t.endDormancy(slot)
	s.flags &^= stepHeld | lostClosed | lostInOutage
	s.step = 0
	t.forgetHostProbe(slot)
}

// endDormancy makes an agent dormant no more, if it is.
func (t *Table) endDormancy(slot int32) {
	if s := &t.state[slot]; s.has(dormant) {
		s.flags &^= dormant
		t.dormant--
		t.countAddress(slot)
	}
}

// resetAbsence adapts an absence to new settings, with other steps than before. Steps that it
// has reached by them are not reported, unless its first one was still to come.
func (t *Table) resetAbsence(slot int32, before []time.Duration, now Instant) {
	s := &t.state[slot]
	if s.status != Disconnected {
		return
	}
	away := now.Sub(t.identities[slot].since)
	if s.has(dormant) && (t.set.DormantAfter == 0 || away < t.set.DormantAfter) {
		t.endDormancy(slot)
	}
	isFirst := s.step == 0 && len(before) > 0
	if s.step != noSteps && !isFirst && !slices.Equal(before, t.set.EscalateAfter) {
		if s.step = t.countSteps(away); s.step == 0 {
			s.flags &^= stepHeld
		}
	}
}
