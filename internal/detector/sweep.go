package detector

// Sweep decides everything that is due by now. Call it often: deadlines are
// decided with their own time, but only when a sweep (or a sighting of the
// agent) comes by, and keep-alives go out with the sweep.
func (t *Table) Sweep(now Instant) {
	for slot, due := range t.due {
		if due <= now {
			t.settle(int32(slot), now)
		}
	}
}

// settle decides everything about one agent that is due by now, oldest first,
// and sets its next due time.
func (t *Table) settle(slot int32, now Instant) {
	s := &t.state[slot]
	for s.watched() {
		silence := s.lastSeen.Add(t.set.Timeout)
		next := min(silence, s.act)
		if next > now {
			t.due[slot] = next
			return
		}
		switch {
		case next == silence:
			t.lost(slot, KeepAliveTimeout, silence)
		case s.has(closed):
			t.lost(slot, ConnectionLost, s.act)
		case s.has(probing):
			t.miss(slot, s.act, now)
		default:
			t.turn(slot, now)
		}
	}
	t.due[slot] = never
}

// turn is an agent's place in the interval: a keep-alive goes out. Where the
// method has no answers, the interval since the last one must have shown a
// sign of life.
func (t *Table) turn(slot int32, now Instant) {
	s := &t.state[slot]
	if t.set.Method != Request && s.has(sent) && s.lastSeen <= s.sentAt {
		t.miss(slot, s.act, now)
		return
	}
	t.send(slot, now)
}

// miss counts an unanswered keep-alive: the next goes out at once, or the
// agent is given up.
func (t *Table) miss(slot int32, at, now Instant) {
	s := &t.state[slot]
	s.missed++
	t.decide(Failed, at, slot).Missed = int(s.missed)
	if int(s.missed) >= t.set.MaxMissed {
		t.lost(slot, MissedKeepAlives, at)
		return
	}
	t.send(slot, now)
}

func (t *Table) send(slot int32, now Instant) {
	s := &t.state[slot]
	s.token++
	s.sentAt = now
	s.flags |= sent
	d := t.decide(Send, now, slot)
	d.Token, d.Interval = s.token, t.set.Interval
	if t.set.Method == Request {
		s.flags |= probing
		s.act = now.Add(t.set.RetryInterval)
		return
	}
	s.act = nextTurn(now, t.set.Interval, slot)
}

func (t *Table) lost(slot int32, why Reason, at Instant) {
	t.change(slot, Disconnected, why, at)
	t.rest(slot)
}
