package detector

import "time"

// Apply processes sightings, in order. A deadline that passed before a sighting is
// decided first, so a sign of life does not undo what came before it. Sightings of
// unknown agents are ignored: the inventory determines which agents there are, and
// the link may be a moment ahead of it or behind. What another node has claimed comes before
// a deadline: an agent that has moved is not lost.
func (t *Table) Apply(seen []Sighting) {
	for i := range seen {
		if slot, ok := t.slots.findAgentSlot(seen[i].ID); ok {
			if t.due[slot] <= seen[i].At && !seen[i].Kind.isElsewhere() {
				t.decideDueAgent(slot, seen[i].At)
			}
			t.applySighting(slot, &seen[i])
		}
	}
	if n := len(seen); n > 0 {
		t.evaluateFleetChanges(seen[n-1].At)
	}
}

func (t *Table) applySighting(slot int32, got *Sighting) {
	s := &t.state[slot]
	switch got.Kind {
	case SawClosed:
		t.startReconnectGrace(slot, got.At, t.set.ReconnectGrace)
		return
	case ClosedInDoubt:
		t.startReconnectGrace(slot, got.At, max(t.set.ReconnectGrace, time.Duration(got.Token)*time.Second))
		return
	case Unsent:
		t.postponeAnswerTimeout(slot, got)
		return
	case SawElsewhere, LostElsewhere:
		t.recordElsewhere(slot, got)
		return
	}
	if s.has(elsewhere) && (got.Kind == SawStartup || got.Kind == SawShutdown) {
		if s.isWatched() {
			t.moveAway(slot, got.At) // it has been there since
		}
		if got.Kind == SawShutdown {
			return
		}
	}
	expected := s.has(restored) || got.At < t.graceUntil(s) // it has to reconnect because Pulse was away
	t.recordSignOfLife(slot, got)
	switch got.Kind {
	case SawStartup:
		s.flags &^= inSequence
		if s.status != Pending && !(expected && s.status == Active) {
			t.setStarted(slot, got.At)
		}
	case SawKeepAlive:
		t.recordKeepAlive(slot, got.At)
		t.setActive(slot, got.At)
	case SawShutdown:
		if s.status != Disconnected {
			t.setStatus(slot, Disconnected, AgentShutdown, got.At)
			t.stopKeepAlives(slot)
		}
	case SawAnswer, SawEvent:
		if s.status == Disconnected && s.reason.isSilence() {
			t.setActive(slot, got.At)
		}
		if got.Kind == SawAnswer && s.has(probing) && got.Token == s.token {
			t.acknowledgeKeepAliveAnswer(slot, got.At)
		}
	}
}

// recordSignOfLife records a sign of life. It computes no new deadline and leaves due as
// it is: the sweep then processes the agent once too early, which is harmless, and a
// sighting costs next to nothing.
func (t *Table) recordSignOfLife(slot int32, got *Sighting) {
	s := &t.state[slot]
	s.lastSeen = max(s.lastSeen, got.At)
	s.missed = 0
	s.flags |= seen
	if kind := addrKindOf(got.Addr); kind != noAddr && (got.Addr.As16() != t.identities[slot].addr || kind != s.addrKind) {
		t.setAddress(slot, got.Addr)
		t.updateAgentGroup(slot, got.At)
	}
	if s.flags&(closed|restored|suspected|unresponsive|elsewhere) != 0 {
		t.endGraceAndSuspicion(slot, got.At)
	}
}

// endGraceAndSuspicion ends a grace or a suspicion after a sign of life.
func (t *Table) endGraceAndSuspicion(slot int32, at Instant) {
	s := &t.state[slot]
	if s.has(elsewhere) && s.isWatched() && at > t.places[slot].at {
		t.forgetElsewhere(slot)
	}
	if s.has(losing) {
		t.cancelLoss(slot, at)
	}
	if s.has(closed | restored) {
		s.flags &^= closed | restored
		t.scheduleKeepAlive(slot, at)
	}
	if s.has(suspected) {
		t.recordSuspicionRelief(slot, at)
		s.flags &^= suspected
		if s.has(probing) {
			s.nextAction = s.sentAt.Add(t.set.RetryInterval) // the usual time to answer, after all
			t.ensureDueBy(slot, s.nextAction)
		}
	}
	t.ensureDueBy(slot, t.suspectAt(s)) // which was not a deadline while it was suspected or closed
	t.setResponsive(s)
}

// recordKeepAlive adds an agent's keep-alive to its arrivals. The agent may be due earlier
// than before by that; mostly it is later, and saving the sweep a needless check is
// worth more than this costs.
func (t *Table) recordKeepAlive(slot int32, at Instant) {
	s := &t.state[slot]
	isGap := s.has(inSequence)
	if s.isPassive() {
		isGap = t.isPassiveGap(s, at)
	}
	s.arrivals.addKeepAliveArrival(at, !isGap)
	s.flags |= inSequence
	if s.isWatched() {
		next, _ := t.nextAgentDeadline(s)
		t.due[slot] = min(next, t.historyDue(slot))
	}
}

// suspectAt returns when an agent is later than its arrivals let expect.
func (t *Table) suspectAt(s *state) Instant {
	if t.set.SuspectTimeout == 0 || t.set.Method != Request || t.groupOf(s).Interval == 0 {
		return never
	}
	after, known := s.arrivals.suspectAfter()
	if !known {
		return never
	}
	return s.lastSeen.Add(after)
}

// startReconnectGrace starts the grace of a watched agent whose connection closed.
func (t *Table) startReconnectGrace(slot int32, at Instant, grace time.Duration) {
	s := &t.state[slot]
	if !s.isWatched() || s.isPassive() || s.has(restored|losing) {
		return
	}
	if s.has(elsewhere) {
		t.moveAway(slot, at)
		return
	}
	s.flags = s.flags&^(probing|suspected|keepAliveSent|inSequence) | closed
	s.nextAction = at.Add(grace)
	t.setUnresponsive(s)
	t.decideDueAgent(slot, at)
}

// postponeAnswerTimeout restarts the timeout of a keep-alive that the link has not sent yet.
func (t *Table) postponeAnswerTimeout(slot int32, got *Sighting) {
	s := &t.state[slot]
	if s.has(probing) && got.Token == s.token && !t.loseUnprobedAgent(slot, got.At) {
		s.sentAt = max(s.sentAt, got.At)
		s.nextAction = s.sentAt.Add(t.answerTimeout(s))
	}
}

// setActive makes an agent active.
func (t *Table) setActive(slot int32, at Instant) {
	s := &t.state[slot]
	was := s.status
	if was == Active {
		return
	}
	switch {
	case t.isHeldElsewhere(slot):
		t.setArrived(slot, Active, AgentMoved, at)
	case s.isAway():
		t.setArrived(slot, Active, Reconnected, at)
	case s.has(wasActive):
		t.setStatus(slot, Active, Reconnected, at)
	default:
		t.setStatus(slot, Active, Connected, at)
	}
	if was != Pending {
		t.startKeepAlives(slot, at)
	}
}

// setStarted makes an agent pending that has sent its startup message, as after each new
// connection. One that another node has is active: it had to reconnect to move.
func (t *Table) setStarted(slot int32, at Instant) {
	switch {
	case t.isHeldElsewhere(slot):
		t.setActive(slot, at)
		return
	case t.state[slot].isAway():
		t.setArrived(slot, Pending, Startup, at)
	default:
		t.setStatus(slot, Pending, Startup, at)
	}
	t.startKeepAlives(slot, at)
}

// startKeepAlives starts the keep-alives to an agent that has connected.
func (t *Table) startKeepAlives(slot int32, at Instant) {
	s := &t.state[slot]
	s.flags &^= keepAliveSent
	t.scheduleKeepAlive(slot, at)
	t.ensureDueBy(slot, s.lastSeen.Add(t.groupOf(s).Timeout))
	t.ensureDueBy(slot, t.suspectAt(s))
}

// stopKeepAlives ends the keep-alives to an agent.
func (t *Table) stopKeepAlives(slot int32) {
	s := &t.state[slot]
	s.flags &^= probing | suspected | closed | restored | keepAliveSent | inSequence
	t.setResponsive(s)
	t.due[slot] = t.historyDue(slot)
}

func (t *Table) acknowledgeKeepAliveAnswer(slot int32, at Instant) {
	s := &t.state[slot]
	rtt := max(0, at.Sub(s.sentAt))
	s.flags |= answered
	s.rtt = uint32(min(rtt.Microseconds(), 1<<32-1))
	d := t.addDecision(Acknowledged, at, slot)
	d.Token, d.RTT = s.token, rtt
	t.scheduleKeepAlive(slot, at)
}
