package ownership

// Restored is an agent that was on this node by the last message of a run before this one, or
// that this node had lost.
type Restored struct {
	Agent AgentID
	Lost  bool
	Since uint32 // a Unix time
	Order uint64 // of that message: see [Member.StatementOrder]
}

// Restore takes up which agents were on this node when the run before this one ended, which may
// have had no time to store that. It is called at the start, when orders mean nothing yet.
func (m *Member) Restore(list []Restored) {
	for i := range list {
		if !list[i].Lost {
			m.Own.restore(&list[i])
		}
	}
}

// ReconcileRestored takes up the orders of restored agents, once everything has been read, and
// forgets those that another node has claimed since. Of a node that has lost an agent again, the
// last sign of life counts: what it stored may be from before the agent came here.
func (m *Member) ReconcileRestored(list []Restored) {
	for i := range list {
		id, order := list[i].Agent, list[i].Order
		m.Own.release(id)
		if list[i].Lost {
			if _, known := m.Own.Claim(id); !known { // there may have been no time to store that
				m.RecordDeparture(id, Lost, list[i].Since)
			}
			m.Own.addDeclaration(id, orderOf(m.State.findDeclaration(id, m.State.self, 0)))
			continue
		}
		stored, seen := uint64(0), order // of its claim
		if r := m.State.table.findOf(id, m.State.self); r != nil && r.reason == Here {
			stored, seen = r.order(), max(seen, r.seen())
		}
		if r := m.State.findDeclaration(id, m.State.self, max(stored, order)); r != nil {
			if c, _ := m.Own.Claim(id); c.Reason != Here || !m.Own.forgetRestored(id) {
				m.Own.addDeclaration(id, r.order())
			}
			continue
		}
		latest := m.findLatest(id)
		if latest != nil && (latest.seen() > seen || latest.reason == Here && latest.order() > max(stored, order) && (stored == 0 || latest.seen() == seen)) {
			switch c, _ := m.Own.Claim(id); {
			case m.Own.forgetRestored(id):
				m.emit(Event{Kind: Overtaken, Order: latest.order(), Agent: id, Node: m.name, Other: m.State.nameOf(latest)})
			case c.Reason == Here && latest.order() <= c.Seen:
				m.Own.Reclaim(id)
				m.emit(Event{Kind: BackUnread, Order: latest.order(), Agent: id, Node: m.State.nameOf(latest), Other: m.name})
			}
			continue
		}
		m.Own.raiseRestored(id, order, stored)
	}
}

// restore takes up that an agent was here when the run before this one ended.
func (o *Own) restore(r *Restored) {
	if o.agents[r.Agent] == nil {
		o.agents[r.Agent] = &ownAgent{claim: Claim{Agent: r.Agent, Reason: Here, Since: r.Since, Sign: r.Since}, restored: true, held: true}
		o.here++
	}
}

// release has the claim of a restored agent stored, if it was to be.
func (o *Own) release(id AgentID) {
	if a := o.agents[id]; a != nil && a.held {
		if a.held = false; a.waits {
			a.waits = false
			o.enqueue(a)
		}
	}
}

// raiseRestored takes up the order of a restored agent's message, and that of its claim.
func (o *Own) raiseRestored(id AgentID, order, stored uint64) {
	a := o.agents[id]
	if a == nil {
		return
	}
	if a.claimed = max(a.claimed, order, stored); a.restored {
		a.claim.From = order
	}
	a.claim.Seen = max(a.claim.Seen, order)
	a.restored = a.restored && a.claim.Reason == Here
}

// forgetRestored forgets an agent that has shown nothing since it was restored, and reports
// whether that is so.
func (o *Own) forgetRestored(id AgentID) bool {
	a := o.agents[id]
	if a == nil || !a.restored {
		return false
	}
	if a.claim.Reason == Here {
		o.here--
	}
	delete(o.agents, id)
	return true
}

func (o *Own) isRestored(id AgentID) bool {
	a := o.agents[id]
	return a != nil && a.restored
}
