package ownership

// This file has the records by which a node states that an agent of another one is lost with it:
// the other one takes that back if the agent is there after all.

// giveWay removes this node's record that it has lost an agent which another one has now. A
// record that the agent is lost with its node stays until that node has read it: see
// withdrawLoss. If the other node is a third one, which had the agent when it did not know of
// that record, the agent was not lost.
func (m *Member) giveWay(c *Claim) {
	r := m.State.ownerRow(c.Agent)
	if r == nil || r.node == m.State.self || m.Own.isRestored(c.Agent) || c.With == m.State.nameOf(r) || c.With == "" && r.seen() < c.Seen {
		return
	}
	own := m.State.table.findOf(c.Agent, m.State.self)
	if c.With != "" && (own == nil || own.lostWith() == 0 || r.seen() < own.order()) {
		m.emit(Event{Kind: Misdeclared, Order: r.order(), Agent: c.Agent, Node: m.State.nameOf(r), Other: c.With})
	}
	m.Own.RecordDeparture(c.Agent, Moved, c.Since)
}

// withdrawLoss withdraws this node's record that an agent is lost with a node, once that
// node itself has stored where the agent is. If the agent is there, the node must have read
// the record: by it, it knows that there is a message to take back.
func (m *Member) withdrawLoss(order uint64, key *Key, r *Record) {
	own := m.State.table.findOf(key.Agent, m.State.self)
	if own == nil || own.lostWith() == 0 || m.State.nodes[own.lostWith()-1].name != key.Node || own.order() > order ||
		r.Claim.Reason == Here && own.order() > r.Read {
		return
	}
	m.adoptStored(key.Agent)
	if c, ok := m.Own.Claim(key.Agent); ok && c.With == key.Node {
		m.Own.RecordDeparture(key.Agent, Moved, c.Since)
	}
}

// checkDeclared emits that an agent is here which another node has recorded as lost with this
// one, if this node has not stored since then that it has it.
func (m *Member) checkDeclared(id AgentID) {
	stored, _ := m.State.Own(id)
	if r := m.State.findDeclaration(id, m.State.self, stored.Order); r != nil {
		m.Own.addDeclaration(id, r.order())
		m.emit(Event{Kind: DeclaredLost, Order: r.order(), Agent: id, Node: m.State.nameOf(r), Other: m.name})
	}
}

// RecordLossFor records that an agent of another node is lost with that node.
func (m *Member) RecordLossFor(id AgentID, node string, since uint32) {
	m.Own.RecordLossFor(id, node, since, m.frontier.order)
}

// nodeOfLoss returns the node, plus one, with which an agent was lost by a claim; 0 for none.
func (s *State) nodeOfLoss(by uint8, c *Claim) uint8 {
	if c.With == "" || c.Reason != Lost {
		return 0
	}
	at, known := s.byName[c.With] // no node makes others known
	if !known || at == by {
		return 0
	}
	return at + 1
}

// findDeclaration returns the record of another node, stored after an order, that an agent
// is lost with a node. Nil for none.
func (s *State) findDeclaration(id AgentID, node uint8, after uint64) *row {
	for at := s.table.find(id); at != 0; {
		r := s.table.rowAt(at)
		if r.lostWith() == node+1 && r.node != node && r.order() > after {
			return r
		}
		at = r.next
	}
	return nil
}
