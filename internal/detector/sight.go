package detector

// Apply takes in what was seen, in order. A deadline that passed before a
// sighting is decided first, so a sign of life does not undo what came before
// it. Sightings of unknown agents are ignored: the inventory decides who is
// an agent, and the link may be a moment ahead of it or behind.
func (t *Table) Apply(seen []Sighting) {
	for i := range seen {
		if slot, ok := t.slots.get(seen[i].ID); ok {
			if t.due[slot] <= seen[i].At {
				t.settle(slot, seen[i].At)
			}
			t.sight(slot, &seen[i])
		}
	}
	if n := len(seen); n > 0 {
		t.judge(seen[n-1].At)
	}
}

func (t *Table) sight(slot int32, got *Sighting) {
	s := &t.state[slot]
	switch got.Kind {
	case SawClosed:
		t.closed(slot, got.At)
		return
	case Unsent:
		t.unsent(slot, got)
		return
	}
	expected := s.has(restored) || got.At < t.indulgence(s) // it has to come again because of us
	t.alive(slot, got)
	switch got.Kind {
	case SawStartup:
		s.flags &^= beating
		if s.status != Pending && !(expected && s.status == Active) {
			t.change(slot, Pending, Startup, got.At)
			t.watch(slot, got.At)
		}
	case SawKeepAlive:
		t.beat(slot, got.At)
		t.active(slot, got.At)
	case SawShutdown:
		if s.status != Disconnected {
			t.change(slot, Disconnected, AgentShutdown, got.At)
			t.rest(slot)
		}
	case SawAnswer, SawEvent:
		if s.status == Disconnected && s.reason.bySilence() {
			t.active(slot, got.At)
		}
		if got.Kind == SawAnswer && s.has(probing) && got.Token == s.token {
			t.acknowledged(slot, got.At)
		}
	}
}

// alive notes a sign of life. It makes no new deadline and leaves due where it
// is: too early is harmless, the sweep then finds nothing to do, and this way a
// sighting costs next to nothing.
func (t *Table) alive(slot int32, got *Sighting) {
	s := &t.state[slot]
	s.lastSeen = max(s.lastSeen, got.At)
	s.missed = 0
	s.flags |= seen
	if got.Addr.IsValid() && got.Addr != t.who[slot].addr {
		t.who[slot].locate(got.Addr)
		t.regroup(slot, got.At)
	}
	if s.flags&(closed|restored|suspected|troubled) != 0 {
		t.relieved(slot, got.At)
	}
}

// relieved ends an agent's troubles.
func (t *Table) relieved(slot int32, at Instant) {
	s := &t.state[slot]
	if s.has(closed | restored) {
		s.flags &^= closed | restored
		t.schedule(slot, at)
	}
	if s.has(suspected) {
		t.recordRelief(slot, at)
		s.flags &^= suspected
		if s.has(probing) {
			s.act = s.sentAt.Add(t.set.RetryInterval) // the usual time to answer, after all
			t.attend(slot, s.act)
		}
	}
	t.attend(slot, t.suspectAt(s)) // which did not count meanwhile
	t.calm(s)
}

// beat learns an agent's rhythm from its keep-alive. What was learned may call
// for a look at the agent earlier than before; mostly it is later, and a sweep
// that need not look at the agent in vain spares more than this costs.
func (t *Table) beat(slot int32, at Instant) {
	s := &t.state[slot]
	s.rhythm.beat(at, !s.has(beating))
	s.flags |= beating
	if s.watched() {
		next, _ := t.next(s)
		t.due[slot] = min(next, t.historyDue(slot))
	}
}

// suspectAt is when an agent is late beyond its habit.
func (t *Table) suspectAt(s *state) Instant {
	if t.set.SuspectTimeout == 0 || t.set.Method != Request || t.groupOf(s).Interval == 0 {
		return never
	}
	patience, known := s.rhythm.patience()
	if !known {
		return never
	}
	return s.lastSeen.Add(patience)
}

// closed starts the grace of a watched agent whose connection is gone.
func (t *Table) closed(slot int32, at Instant) {
	s := &t.state[slot]
	if !s.watched() || s.has(restored) {
		return
	}
	s.flags = s.flags&^(probing|suspected|sent|beating) | closed
	s.act = at.Add(t.set.ReconnectGrace)
	t.trouble(s)
	t.settle(slot, at)
}

// unsent takes it that a link keeps a keep-alive back, because it has too much
// to do: the time in which its answer is due has not begun.
func (t *Table) unsent(slot int32, got *Sighting) {
	s := &t.state[slot]
	if s.has(probing) && got.Token == s.token && !t.loseUnasked(slot, got.At) {
		s.sentAt = max(s.sentAt, got.At)
		s.act = s.sentAt.Add(t.answerTime(s))
	}
}

// active takes the proof that an agent is at work.
func (t *Table) active(slot int32, at Instant) {
	s := &t.state[slot]
	was := s.status
	if was == Active {
		return
	}
	why := Connected
	if s.has(greeted) {
		why = Reconnected
	}
	t.change(slot, Active, why, at)
	if was != Pending {
		t.watch(slot, at)
	}
}

// watch starts the keep-alives to an agent that is there (again).
func (t *Table) watch(slot int32, at Instant) {
	s := &t.state[slot]
	s.flags &^= sent
	t.schedule(slot, at)
	t.attend(slot, s.lastSeen.Add(t.groupOf(s).Timeout))
	t.attend(slot, t.suspectAt(s))
}

// rest ends the keep-alives to an agent.
func (t *Table) rest(slot int32) {
	s := &t.state[slot]
	s.flags &^= probing | suspected | closed | restored | sent | beating
	t.calm(s)
	t.due[slot] = t.historyDue(slot)
}

func (t *Table) acknowledged(slot int32, at Instant) {
	s := &t.state[slot]
	rtt := max(0, at.Sub(s.sentAt))
	s.flags |= answered
	s.rtt = uint32(min(rtt.Microseconds(), 1<<32-1))
	d := t.decide(Acknowledged, at, slot)
	d.Token, d.RTT = s.token, rtt
	t.schedule(slot, at)
}
