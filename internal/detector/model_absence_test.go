package detector

import "time"

// absenceDue returns when the next step of an agent's absence is due, or its dormancy.
func (m *model) absenceDue(a *modelAgent) Instant {
	due := never
	if m.set.DormantAfter > 0 && !a.dormant {
		due = a.since.Add(m.set.DormantAfter)
	}
	if a.step < len(m.set.EscalateAfter) {
		due = min(due, max(a.since.Add(m.set.EscalateAfter[a.step]), m.escalationGrace(a)))
	}
	return due
}

func (m *model) escalationGrace(a *modelAgent) Instant {
	grace := m.graceUntil(a)
	if a.since < 0 { // it may have come back while nobody watched
		group, _ := m.group(a)
		grace = max(grace, m.started.Add(min(group.Timeout, m.set.EscalateAfter[0])))
	}
	return grace
}

// escalate decides what an agent's absence has come to.
func (m *model) escalate(a *modelAgent, now Instant) {
	away := now.Sub(a.since)
	if m.set.DormantAfter > 0 && away >= m.set.DormantAfter {
		m.setDormant(a, true)
	}
	step := 0
	for _, after := range m.set.EscalateAfter {
		if after <= away {
			step++
		}
	}
	if step <= a.step || m.escalationGrace(a) > now {
		return
	}
	a.step = step
	if c := a.lastChange(); m.silenced[a.id] || c != nil && m.isAlertHeld(c) {
		a.stepDue = true
	} else {
		m.reportStep(a, now)
	}
}

func (m *model) reportStep(a *modelAgent, now Instant) {
	a.stepDue = false
	c := a.lastChange()
	d := m.addChangeDecision(Escalated, c)
	a.alerted = true
	d.Step, d.AwayFor, d.Outage = a.step, max(now.Sub(a.since)/time.Second, 1)*time.Second, c.outage != nil
}

func (m *model) setSilenced(changes []Silenced, now Instant) {
	for _, c := range changes {
		if a := m.agents[c.ID]; a != nil && a.deadline <= now {
			m.decideDue(a, now)
		}
	}
	m.evaluateBatch(now)
	for _, c := range changes {
		a := m.agents[c.ID]
		m.quietChanged = true
		was := m.silenced[c.ID]
		if a != nil && was != c.On {
			m.countQuiet(a, -1)
			m.silenced[c.ID] = true
			if c.On {
				m.countQuiet(a, 1)
			}
		}
		if m.silenced[c.ID] = true; !c.On {
			delete(m.silenced, c.ID)
		}
		if a == nil || was == c.On || a.status != Disconnected {
			continue
		}
		last := a.lastChange()
		if !c.On && (a.held || a.stepDue) {
			a.held = false
			m.releaseAlert(last, now)
		}
	}
	m.evaluateBatch(now)
}

func (m *model) setInfo(id AgentID, info Info, now Instant) {
	a := m.agents[id]
	if a == nil || a.info == info {
		return
	}
	_, before := m.group(a)
	a.info = info
	if _, after := m.group(a); after != before && a.isWatched() && a.probe == nil && a.gone == nil && a.loss == nil {
		a.turnFrom = now
	}
	at, _ := m.nextDeadline(a)
	m.scheduleCheck(a, at)
}
