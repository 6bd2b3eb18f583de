package ownership

import "net/netip"

// Place is where an agent is, or was last, as those who show the fleet need it.
type Place struct {
	Agent    AgentID
	Node     uint8 // its index in [State.Nodes]: 0 is this node
	Known    bool  // a node has claimed the agent
	NodeLost bool  // the node is lost
	Reason   Reason
	Since    uint32 // as in [Claim]
	Sign     uint32 // as in [Claim]
	Addr     netip.Addr
}

// Place returns where an agent is. An agent that was declared lost with its node is placed on
// that node, and not on the one that has declared it.
func (s *State) Place(id AgentID) Place { return s.placeFrom(id, s.table.find(id)) }

// placeFrom returns where the agent is whose first row that is; 0 for none.
func (s *State) placeFrom(id AgentID, first uint32) Place {
	if first == 0 {
		return Place{Agent: id}
	}
	if r := s.table.rowAt(first); !r.isShared() && r.lostWith() == 0 {
		return s.placeOf(r)
	}
	owner, newest, away := s.rankClaims(first)
	if owner != nil {
		newest = owner
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

// rankClaims returns of the claims of an agent, whose first row that is, the valid one of a living node, the newest of all,
// and the newest of a lost node that has the agent; nil for none.
func (s *State) rankClaims(first uint32) (owner, newest, away *row) {
	left := uint64(0)
	for at := first; at != 0; {
		r := s.table.rowAt(at)
		if newest == nil || newest.precedes(r) {
			newest = r
		}
		switch {
		case r.hasLeft():
			left = max(left, r.from())
		case r.reason != Here:
		case !s.nodes[r.node].lost && (owner == nil || owner.precedes(r)):
			owner = r
		case s.nodes[r.node].lost && (away == nil || away.precedes(r)):
			away = r
		}
		at = r.next
	}
	if owner != nil && s.isOutdated(owner, left) {
		owner = nil
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
	firsts := m.State.table.findAll(make([]uint32, len(agents)), agents)
	for i, id := range agents {
		list = append(list, m.State.placeFrom(id, firsts[i]))
	}
	return list
}
