package ownership

import "net/netip"

// Place is where an agent is, or was last, as those who show the fleet need it.
type Place struct {
	Agent    AgentID
	Node     uint8 // its index in [State.Nodes]: 0 is this node
	Known    bool  // a node has claimed the agent
	Newer    bool  // it is on another living node, and claimed there after its last sign of life on this one
	NodeLost bool  // the node is lost
	Reason   Reason
	Since    uint32 // as in [Claim]
	Sign     uint32 // as in [Claim]
	Addr     netip.Addr
}

// Place returns where an agent is. An agent that was declared lost with its node is placed on
// that node, and not on the one that has declared it.
func (s *State) Place(id AgentID) Place {
	owner, newest, away := s.rankClaims(id)
	switch {
	case owner != nil:
		newest = owner
	case newest == nil:
		return Place{Agent: id}
	}
	p := s.placeOf(newest)
	if with := newest.lostWith(); with > 0 {
		p.Node, p.NodeLost = with-1, s.nodes[with-1].lost
		if away != nil {
			p.Sign, p.Addr = away.sign, away.address()
		}
	}
	return p
}

func (s *State) placeOf(r *row) Place {
	return Place{Agent: r.agent, Node: r.node, Known: true, NodeLost: s.nodes[r.node].lost, Reason: r.reason, Since: r.since, Sign: r.sign, Addr: r.address()}
}

// rankClaims returns of an agent's claims the valid one of a living node, the newest of all,
// and the newest of a lost node that has the agent; nil for none.
func (s *State) rankClaims(id AgentID) (owner, newest, away *row) {
	for at := s.table.find(id); at != 0; {
		r := s.table.rowAt(at)
		if newest == nil || newest.precedes(r) {
			newest = r
		}
		switch {
		case r.reason != Here:
		case !s.nodes[r.node].lost && (owner == nil || owner.precedes(r)):
			owner = r
		case s.nodes[r.node].lost && (away == nil || away.precedes(r)):
			away = r
		}
		at = r.next
	}
	return owner, newest, away
}

// PagePlaces appends the places of agents, page by page, each agent once, and reports whether
// there are more pages. Successive pages are not of the same moment.
func (s *State) PagePlaces(list []Place, n int) (page []Place, more bool) {
	if n < 0 || n >= len(s.table.chunks) {
		return list, false
	}
	for i := range s.table.chunks[n] {
		r := &s.table.chunks[n][i]
		switch {
		case r.orderHigh|r.orderLow == 0:
		case !r.isShared() && r.lostWith() == 0:
			list = append(list, s.placeOf(r))
		case s.table.find(r.agent) == uint32(n*chunkRows+i+1): // the agent's first row
			list = append(list, s.Place(r.agent))
		}
	}
	return list, n+1 < len(s.table.chunks)
}

// Locate appends where agents are.
func (m *Member) Locate(list []Place, agents []AgentID) []Place {
	for _, id := range agents {
		p := m.State.Place(id)
		if p.Known && p.Node != m.State.self && p.Reason == Here && !p.NodeLost {
			_, p.Newer = m.Elsewhere(id)
		}
		list = append(list, p)
	}
	return list
}
