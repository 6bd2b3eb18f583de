package detector

// Apply takes in what was seen, in order. A deadline that passed before a
// sighting is decided first, so a sign of life does not undo what came before
// it. Sightings of unknown agents are ignored: the inventory decides who is
// an agent, and the link may be a moment ahead of it or behind.
func (t *Table) Apply(seen []Sighting) {
	for i := range seen {
		if slot, ok := t.slots[seen[i].ID]; ok {
			if t.due[slot] <= seen[i].At {
				t.settle(slot, seen[i].At)
			}
			t.sight(slot, &seen[i])
		}
	}
}

func (t *Table) sight(slot int32, got *Sighting) {
	s := &t.state[slot]
	if got.Kind == SawClosed {
		t.closed(slot, got.At)
		return
	}
	t.alive(slot, got)
	switch got.Kind {
	case SawStartup:
		t.introduced(slot, got.At)
	case SawKeepAlive:
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
			t.answered(slot, got.At)
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
		t.who[slot].addr = got.Addr
	}
	if s.has(closed) {
		s.flags &^= closed
		t.schedule(slot, got.At)
	}
}

// closed starts the grace of a watched agent whose connection is gone.
func (t *Table) closed(slot int32, at Instant) {
	s := &t.state[slot]
	if !s.watched() {
		return
	}
	s.flags = s.flags&^(probing|sent) | closed
	s.act = at.Add(t.set.ReconnectGrace)
	t.settle(slot, at)
}

// introduced takes an agent's startup: a new life of it, to be proven by its
// first keep-alive.
func (t *Table) introduced(slot int32, at Instant) {
	s := &t.state[slot]
	if s.status == Pending {
		return
	}
	t.change(slot, Pending, Startup, at)
	t.watch(slot, at)
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
	t.state[slot].flags &^= sent
	t.schedule(slot, at)
	t.attend(slot, t.state[slot].lastSeen.Add(t.set.Timeout))
}

// rest ends the keep-alives to an agent.
func (t *Table) rest(slot int32) {
	t.state[slot].flags &^= probing | closed | sent
	t.due[slot] = never
}

func (t *Table) answered(slot int32, at Instant) {
	s := &t.state[slot]
	s.rtt = max(0, at.Sub(s.sentAt))
	d := t.decide(Acknowledged, at, slot)
	d.Token, d.RTT = s.token, s.rtt
	t.schedule(slot, at)
}
