package detector

// NodeNumber identifies another node of the cluster. Who reports sightings numbers the nodes,
// from 1; 0 is for none.
type NodeNumber uint8

// place is what another node has claimed of an agent.
type place struct {
	node NodeNumber
	lost bool // it was lost there, or stopped
	at   Instant
}

// isElsewhere reports whether a sighting is what another node has claimed of the agent.
func (k Kind) isElsewhere() bool { return k == SawElsewhere || k == LostElsewhere }

// isAway reports whether another node has the agent, or had it last, and this one does not
// watch it.
func (s *state) isAway() bool { return s.has(elsewhere) && s.status == NeverConnected }

// isHeldElsewhere reports whether another node has an agent that this one does not watch.
func (t *Table) isHeldElsewhere(slot int32) bool {
	return t.state[slot].isAway() && !t.places[slot].lost
}

// recordElsewhere records what another node has claimed of an agent. One that is in doubt
// here, or was lost, has moved. One that is not may be on both nodes, or its connection may
// yet have to end here: its next sign of life here ends that, or else it has moved.
func (t *Table) recordElsewhere(slot int32, got *Sighting) {
	s := &t.state[slot]
	p := place{NodeNumber(got.Token), got.Kind == LostElsewhere, got.At}
	if p.node == 0 {
		if s.isWatched() {
			t.forgetElsewhere(slot)
		}
		return
	}
	t.setPlace(slot, p)
	switch {
	case s.isAway():
	case !s.isWatched(), p.lost, s.has(restored | closed | suspected | unresponsive | losing):
		t.moveAway(slot, got.At)
	}
}

func (t *Table) setPlace(slot int32, p place) {
	s := &t.state[slot]
	t.places[slot] = p
	if s.has(elsewhere) {
		return
	}
	s.flags |= elsewhere
	if s.isAway() {
		t.countAway(1)
	}
}

// forgetElsewhere forgets what another node has claimed of an agent.
func (t *Table) forgetElsewhere(slot int32) {
	s := &t.state[slot]
	if s.isAway() {
		t.countAway(-1)
	}
	s.flags &^= elsewhere
	delete(t.places, slot)
}

// countAway counts an agent that is away and not with those that never connected.
func (t *Table) countAway(n int) {
	t.count[NeverConnected] -= n
	t.away += n
}

// moveAway ends watching an agent that another node has. That is no loss, and a loss before
// it is over: nothing is reported but to whoever keeps what the nodes share.
func (t *Table) moveAway(slot int32, at Instant) {
	s := &t.state[slot]
	from := s.status
	t.forgetHostProbe(slot)
	t.countSilenced(s, -1)
	t.count[from]--
	t.away++
	s.status, s.reason, s.from, s.missed, t.identities[slot].since = NeverConnected, NoReason, from, 0, at
	t.batch.addStatusChange(slot, s, from, len(t.decisions))
	if from == Disconnected {
		t.endAbsence(slot)
	}
	if s.has(hasExcess) { // the other node has a later change to report
		t.forgetExcess(slot)
	}
	d := t.addDecision(MovedAway, at, slot)
	d.From, d.To, d.Node = from, NeverConnected, t.places[slot].node
	t.stopKeepAlives(slot)
}

// setArrived sets the status of an agent that was away, and has come to this node. The one
// that had it has it as active, unless it was lost there.
func (t *Table) setArrived(slot int32, to Status, reason Reason, at Instant) {
	p := t.places[slot]
	t.state[slot].flags |= wasActive
	t.setStatus(slot, to, reason, at)
	d := &t.decisions[len(t.decisions)-1]
	d.Node = p.node
	if d.From = Active; p.lost {
		d.From = Disconnected
	}
}

// AdmitMember adds an agent to the table, or replaces one of its id with another name.
// [Table.SetMembers] without it removes it.
func (t *Table) AdmitMember(m *Member, now Instant) {
	if slot, ok := t.slots.findAgentSlot(m.ID); ok {
		if t.identities[slot].name == m.Name {
			return
		}
		t.removeMember(slot, AgentRemoved, now)
	}
	t.addAgent(m, now)
	t.evaluateFleetChanges(now)
}

// ReleaseMember removes an agent that another node watches, which is no change of its status.
func (t *Table) ReleaseMember(id AgentID, now Instant) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok {
		return
	}
	if !t.state[slot].isAway() {
		t.setPlace(slot, place{})
	}
	if !t.state[slot].isAway() {
		t.moveAway(slot, now)
	}
	t.dropAgent(slot)
	t.evaluateFleetChanges(now)
}

// removeMember removes an agent that is no member any more. Of one that another node has,
// that one reports it.
func (t *Table) removeMember(slot int32, reason Reason, now Instant) {
	if t.state[slot].isAway() {
		t.dropAgent(slot)
		return
	}
	t.removeAgent(slot, reason, now)
}

// AdmitMember adds an agent; see [Table.AdmitMember]. It is ordered with the sightings, and
// does not wait.
func (d *Detector) AdmitMember(m Member) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.AdmitMember(&m, now) })
}

// ReleaseMember removes an agent that another node watches; see [Table.ReleaseMember]. It is
// ordered with the sightings, and does not wait.
func (d *Detector) ReleaseMember(id AgentID) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.ReleaseMember(id, now) })
}

// HastenKeepAlive has an agent sent a keep-alive now, unless one is unanswered or was answered
// just now, as [Table.ProbeNow] does. It does not wait.
func (d *Detector) HastenKeepAlive(id AgentID) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { _, _ = t.ProbeNow(id, now) })
}
