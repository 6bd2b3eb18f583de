package detector

import "time"

// Sweep decides everything that is due by now. Call it often: deadlines are
// decided with their own time, but only when a sweep (or a sighting of the
// agent) comes by, and keep-alives go out with the sweep.
func (t *Table) Sweep(now Instant) {
	for slot, due := range t.due {
		if due <= now {
			t.settle(int32(slot), now)
		}
	}
	t.judge(now)
}

// settle decides everything about one agent that is due by now, oldest first,
// and sets its next due time.
func (t *Table) settle(slot int32, now Instant) {
	s := &t.state[slot]
	if s.has(excessive) {
		t.settleExcess(slot, now)
	}
	if s.has(unsteady) {
		t.steady(slot, now)
	}
	for s.watched() {
		at, do := t.next(s)
		if at > now {
			t.due[slot] = min(at, t.historyDue(slot))
			return
		}
		do(t, slot, at, now)
	}
	t.due[slot] = t.historyDue(slot)
}

// historyDue is when something is to be done about an agent's earlier changes.
func (t *Table) historyDue(slot int32) Instant { return min(t.flapEnd(slot), t.excessDue(slot)) }

// next is the first thing that a watched agent is due for, and when.
func (t *Table) next(s *state) (at Instant, do func(t *Table, slot int32, at, now Instant)) {
	at, do = max(s.lastSeen.Add(t.groupOf(s).Timeout), t.indulgence(s), t.sinceShortened(s)), (*Table).silent
	switch {
	case s.has(restored):
	case s.has(closed):
		if grace := max(s.act, t.indulgence(s)); grace < at {
			at, do = grace, (*Table).gone
		}
	case s.act >= at:
	case s.has(probing):
		at, do = s.act, (*Table).miss
	default:
		at, do = s.act, (*Table).turn
	}
	if !s.has(closed | restored | suspected) {
		if late := t.suspectAt(s); late < at {
			at, do = late, (*Table).suspect
		}
	}
	return at, do
}

// indulgence is until when an agent is not given up because the detector has
// been away. One that was there in an earlier life of the node has a timeout to
// come back, until it is seen. After a lull in this life everybody has as long as
// the lull, but no longer than the timeout: what they sent meanwhile is still
// read, and looks like life, while they may have to connect anew. And who is
// excused, is.
func (t *Table) indulgence(s *state) Instant {
	timeout := t.groupOf(s).Timeout
	if s.has(restored) {
		return t.born.Add(timeout)
	}
	return t.resumed.Add(min(t.lull, timeout))
}

// sinceShortened is until when an agent is not given up for a silence that began
// before new settings made a timeout shorter.
func (t *Table) sinceShortened(s *state) Instant {
	if t.shortened == 0 {
		return 0
	}
	return t.shortened.Add(t.groupOf(s).Timeout)
}

// Resume says that the detector was away until now, for as long as the lull:
// nothing that was due meanwhile may be held against the agents. The caller's
// instants leave the lull out, so that every deadline has moved by it.
func (t *Table) Resume(now Instant, lull time.Duration) {
	t.ExtendGrace(now, lull)
	t.out = append(t.out, Decision{Verdict: Resumed, At: now, Pause: lull})
}

// ExtendGrace says that the way to the agents is, or was, not there: for d from now,
// but no longer than its timeout, none is given up, and who comes back meanwhile was
// never away. It may be said again and again.
func (t *Table) ExtendGrace(now Instant, d time.Duration) {
	t.lull = max(d, t.lull-now.Sub(t.resumed)) // what was granted last time stays
	t.resumed = now
}

// silent gives up an agent that was silent for its timeout. To one that was
// awaited from an earlier life nothing was sent: there, every interval without a
// sign of life is a miss.
func (t *Table) silent(slot int32, at, _ Instant) {
	s, group := &t.state[slot], t.groupOf(&t.state[slot])
	if s.has(restored) && group.Interval > 0 {
		s.missed = uint16(min(int(group.Timeout/group.Interval), group.MaxMissed))
	}
	t.lose(slot, KeepAliveTimeout, at)
}

func (t *Table) gone(slot int32, at, _ Instant) { t.lose(slot, ConnectionLost, at) }

// turn is an agent's place in the interval: a keep-alive goes out. Where the
// method has no answers, the interval since the last one must have shown a
// sign of life.
func (t *Table) turn(slot int32, at, now Instant) {
	s := &t.state[slot]
	if t.set.Method != Request && s.has(sent) && s.lastSeen <= s.sentAt {
		t.miss(slot, at, now)
		return
	}
	t.send(slot, now)
}

// suspect asks an agent that is late beyond its habit, at once and for a quick
// answer. A keep-alive that is out already is not waited for any longer by that.
func (t *Table) suspect(slot int32, _, now Instant) {
	s := &t.state[slot]
	miss := never
	if s.has(probing) {
		miss = s.act
	}
	s.flags |= suspected
	t.trouble(s)
	t.send(slot, now)
	s.act = min(s.act, miss)
}

// miss counts an unanswered keep-alive: the next goes out at once, or the
// agent is given up.
func (t *Table) miss(slot int32, at, now Instant) {
	s := &t.state[slot]
	s.missed = min(s.missed+1, mostMissed)
	t.trouble(s)
	d := t.decide(Failed, at, slot)
	d.Token, d.Missed = s.token, int(s.missed)
	if int(s.missed) >= t.groupOf(s).MaxMissed && at >= t.indulgence(s) {
		t.lose(slot, MissedKeepAlives, at)
		return
	}
	t.send(slot, now)
}

// mostMissed is where counting ends.
const mostMissed = 1<<16 - 1

func (t *Table) send(slot int32, now Instant) {
	s := &t.state[slot]
	s.token++
	s.sentAt = now
	s.flags = s.flags&^answered | sent
	d := t.decide(Send, now, slot)
	d.Token, d.Interval = s.token, t.groupOf(s).Interval
	if t.set.Method != Request {
		s.act = nextTurn(now, t.groupOf(s).Interval, slot)
		return
	}
	s.act = now.Add(t.answerTime(s))
	s.flags |= probing
}

// answerTime is how long an agent may take to answer.
func (t *Table) answerTime(s *state) time.Duration {
	if s.has(suspected) {
		return t.set.SuspectTimeout
	}
	return t.set.RetryInterval
}

// lose gives an agent up.
func (t *Table) lose(slot int32, why Reason, at Instant) {
	t.change(slot, Disconnected, why, at)
	t.rest(slot)
}
