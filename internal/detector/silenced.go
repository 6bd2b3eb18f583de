package detector

// Silenced is the beginning or the end of an agent's silence: of a time in which its
// alerts wait.
type Silenced struct {
	ID AgentID
	On bool
}

// SetSilenced applies changes of which agents are silenced. It is ordered with Report; any
// goroutine may call it.
func (d *Detector) SetSilenced(changes []Silenced) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.SetSilenced(changes, now) })
}

// SetSilenced applies changes of which agents are silenced, also of agents that are not in
// the table. Status changes of a silenced agent are reported and marked, its alerts wait,
// and losses from then on are no part of an outage. When it is silenced no more and still away, one alert is
// reported of all that have waited.
func (t *Table) SetSilenced(changes []Silenced, now Instant) {
	for _, c := range changes { // what is due is decided by what was true before
		if slot, ok := t.slots.findAgentSlot(c.ID); ok && t.due[slot] <= now {
			t.decideDueAgent(slot, now)
		}
	}
	t.evaluateFleetChanges(now)
	for _, c := range changes {
		slot, ok := t.slots.findAgentSlot(c.ID)
		switch {
		case !ok && c.On:
			t.silencedLater[c.ID] = true
		case !ok:
			delete(t.silencedLater, c.ID)
		case t.state[slot].has(silenced) != c.On:
			if c.On {
				t.beginSilence(slot)
			} else {
				t.endSilence(slot, now)
			}
		}
	}
	t.evaluateFleetChanges(now)
}

func (t *Table) beginSilence(slot int32) {
	s := &t.state[slot]
	if s.has(unresponsive) {
		t.countUnresponsive(s, -1)
	}
	s.flags |= silenced
	t.countSilenced(s, 1)
}

func (t *Table) endSilence(slot int32, now Instant) {
	s := &t.state[slot]
	t.countSilenced(s, -1)
	s.flags &^= silenced
	if s.has(unresponsive) {
		t.countUnresponsive(s, 1)
	}
	if s.has(silenceHeld | stepHeld) {
		s.flags &^= silenceHeld
		t.releaseAlert(slot, now)
	}
}

// countSilenced counts a watched agent that is silenced.
func (t *Table) countSilenced(s *state, n int) {
	if s.has(silenced) && s.isWatched() {
		t.silenced += n
	}
}
