package detector

import "time"

// Sweep decides everything that is due by now. Call it often: a decision carries the
// time of its deadline, but is made only by a sweep (or a sighting of the agent), and
// keep-alives are sent with the sweep.
func (t *Table) Sweep(now Instant) {
	slot := 0
	for ; slot+8 <= len(t.due); slot += 8 { // one comparison for eight: the sweep reads all of due
		d := (*[8]Instant)(t.due[slot:])
		if min(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]) <= now {
			t.decideDueAgents(slot, slot+8, now)
		}
	}
	t.decideDueAgents(slot, len(t.due), now)
	t.evaluateFleetChanges(now)
}

func (t *Table) decideDueAgents(from, to int, now Instant) {
	for slot := from; slot < to; slot++ {
		if t.due[slot] <= now {
			t.decideDueAgent(int32(slot), now)
		}
	}
}

// decideDueAgent decides everything about one agent that is due by now, oldest first,
// and sets its next due time.
func (t *Table) decideDueAgent(slot int32, now Instant) {
	s := &t.state[slot]
	if s.has(hasExcess | hasFlap) {
		t.processHistory(slot, now)
	}
	away := s.status == Disconnected
	if s.has(losing) {
		t.loseWaitingAgent(slot, now)
	}
	for s.isWatched() && !s.has(losing) {
		at, do := t.nextAgentDeadline(s)
		if at > now {
			t.due[slot] = min(at, t.historyDue(slot))
			return
		}
		do(t, slot, at, now)
	}
	if away { // else it is not known yet whether its alert is held
		t.decideAbsence(slot, now)
	}
	t.due[slot] = t.historyDue(slot)
}

// historyDue returns when an agent's history of changes is to be processed, its absence, or
// its loss if that waits.
func (t *Table) historyDue(slot int32) Instant {
	s := &t.state[slot]
	if s.status != Disconnected && !s.has(hasExcess|hasFlap|losing) {
		return never // most agents, at every sighting
	}
	due := min(t.flapExpiry(slot), t.excessDue(slot), t.absenceDue(slot))
	if s.has(losing) {
		due = min(due, t.probes.byAgent[slot].until)
	}
	return due
}

// processHistory processes what is due of an agent's history of changes.
func (t *Table) processHistory(slot int32, now Instant) {
	if t.state[slot].has(hasExcess) {
		t.reportOrDropExcess(slot, now)
	}
	if t.state[slot].has(hasFlap) {
		t.expireFlap(slot, now)
	}
}

// nextAgentDeadline returns the first deadline of a watched agent, and what it decides.
func (t *Table) nextAgentDeadline(s *state) (at Instant, do func(t *Table, slot int32, at, now Instant)) {
	silent := s.lastSeen.Add(t.groupOf(s).Timeout)
	if s.isPassive() {
		silent = t.passiveDeadline(s)
	}
	at, do = max(silent, t.graceUntil(s), t.shortenedUntil(s)), (*Table).loseSilentAgent
	switch {
	case s.has(restored):
	case s.has(closed):
		if grace := max(s.nextAction, t.graceUntil(s)); grace < at {
			at, do = grace, (*Table).loseClosedAgent
		}
	case s.nextAction >= at:
	case s.has(probing):
		at, do = s.nextAction, (*Table).countMissedKeepAlive
	default:
		at, do = s.nextAction, (*Table).keepAliveDue
	}
	if !s.has(closed | restored | suspected) {
		if late := t.suspectAt(s); late < at {
			at, do = late, (*Table).suspectAgent
		}
	}
	return at, do
}

// graceUntil returns until when an agent is not given up. One that an earlier process
// watched has a timeout to reconnect, until it is seen. After a pause of this process
// each agent has as long as the pause, but no longer than its timeout: what it sent
// meanwhile is still read, while it may have to reconnect. ExtendGrace has the same
// effect.
func (t *Table) graceUntil(s *state) Instant {
	timeout := t.groupOf(s).Timeout
	if s.has(restored) {
		return t.started.Add(timeout)
	}
	return t.resumed.Add(min(t.pause, timeout))
}

// shortenedUntil returns until when an agent is not given up for a silence that began
// before new settings made a timeout shorter.
func (t *Table) shortenedUntil(s *state) Instant {
	if t.shortened == 0 {
		return 0
	}
	return t.shortened.Add(t.groupOf(s).Timeout)
}

// Resume reports that the detector was paused until now: no agent is given up for what
// was due meanwhile. The caller's instants do not include the pause, so that every
// deadline has moved by it.
func (t *Table) Resume(now Instant, pause time.Duration) {
	t.ExtendGrace(now, pause)
	t.decisions = append(t.decisions, Decision{Verdict: Resumed, At: now, Pause: pause})
}

// ExtendGrace reports that agents cannot be reached: for d from now, but no longer than
// its timeout, no agent is given up, and reconnecting meanwhile is no status change. It
// may be called repeatedly.
func (t *Table) ExtendGrace(now Instant, d time.Duration) {
	t.pause = max(d, t.pause-now.Sub(t.resumed)) // an earlier grace is not shortened
	t.resumed = now
}

// loseSilentAgent gives up an agent that was silent for its timeout. To a restored one no
// keep-alives were sent: every interval without a sign of life counts as a miss. A passive
// one is sent none ever: more of its own than MaxMissed did not come by then.
func (t *Table) loseSilentAgent(slot int32, at, now Instant) {
	s, group := &t.state[slot], t.groupOf(&t.state[slot])
	if s.has(restored) && group.Interval > 0 {
		s.missed = uint16(min(int(group.Timeout/group.Interval), group.MaxMissed))
	}
	if s.isPassive() {
		s.missed = uint16(min(group.MaxMissed, maxMissedCount))
	}
	t.loseAgent(slot, KeepAliveTimeout, at, now)
}

func (t *Table) loseClosedAgent(slot int32, at, now Instant) {
	t.loseAgent(slot, ConnectionLost, at, now)
}

// keepAliveDue sends an agent the keep-alive of the interval. If the method has no
// answers, an interval without a sign of life since the last one is a miss.
func (t *Table) keepAliveDue(slot int32, at, now Instant) {
	s := &t.state[slot]
	if t.set.Method != Request && s.has(keepAliveSent) && s.lastSeen <= s.sentAt {
		t.countMissedKeepAlive(slot, at, now)
		return
	}
	t.sendKeepAlive(slot, now)
}

// suspectAgent sends a keep-alive to an agent that is later than expected, to be
// answered within SuspectTimeout. That does not extend the wait for an earlier one.
func (t *Table) suspectAgent(slot int32, _, now Instant) {
	s := &t.state[slot]
	if s.has(elsewhere) {
		t.moveAway(slot, now)
		return
	}
	miss := never
	if s.has(probing) {
		miss = s.nextAction
	}
	s.flags |= suspected
	t.setUnresponsive(s)
	t.sendKeepAlive(slot, now)
	s.nextAction = min(s.nextAction, miss)
}

// countMissedKeepAlive counts an unanswered keep-alive: the next is sent at once, or the
// agent is given up.
func (t *Table) countMissedKeepAlive(slot int32, at, now Instant) {
	s := &t.state[slot]
	s.missed = min(s.missed+1, maxMissedCount)
	t.setUnresponsive(s)
	d := t.addDecision(Failed, at, slot)
	d.Token, d.Missed = s.token, int(s.missed)
	if s.has(elsewhere) {
		t.moveAway(slot, at)
		return
	}
	if int(s.missed) >= t.groupOf(s).MaxMissed && at >= t.graceUntil(s) {
		t.loseAgent(slot, MissedKeepAlives, at, now)
		return
	}
	t.sendKeepAlive(slot, now)
}

// maxMissedCount is the highest count of missed keep-alives.
const maxMissedCount = 1<<16 - 1

func (t *Table) sendKeepAlive(slot int32, now Instant) {
	s := &t.state[slot]
	s.token++
	s.sentAt = now
	s.flags = s.flags&^answered | keepAliveSent
	d := t.addDecision(Send, now, slot)
	d.Token, d.Interval = s.token, t.groupOf(s).Interval
	if t.set.Method != Request {
		s.nextAction = nextKeepAlive(now, t.groupOf(s).Interval, slot)
		return
	}
	s.nextAction = now.Add(t.answerTimeout(s))
	s.flags |= probing
}

// answerTimeout returns how long an agent may take to answer.
func (t *Table) answerTimeout(s *state) time.Duration {
	if s.has(suspected) {
		return t.set.SuspectTimeout
	}
	return t.set.RetryInterval
}
