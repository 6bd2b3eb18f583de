package ownership

import "slices"

func (s *State) applyBeat(order uint64, at uint8, b Beat) error {
	n := s.nodes[at]
	if b.Back >= order {
		return ErrImpossible
	}
	if order <= n.beatOrder {
		return nil // it is read again
	}
	wasLost, first := n.lost, n.beatOrder == 0
	n.beat, n.beatOrder, n.missed, n.silent, n.lost, n.told, n.verdicts = b, order, 0, false, false, false, nil
	if wasLost {
		s.emit(Event{Kind: NodeBack, Order: order, Node: n.name})
	}
	s.applyTold(b.Told)
	if at != s.self {
		return nil
	}
	if s.found.order <= b.Back {
		s.found = foundSilent{}
	}
	for i := range s.nodes {
		if uint8(i) != s.self && !first {
			s.countMissedBeat(order, uint8(i))
		}
	}
	return nil
}

// applyTold takes up which losses a node has announced.
func (s *State) applyTold(told []Verdict) {
	for _, v := range told {
		if at, ok := s.byName[v.Node]; ok && s.nodes[at].beatOrder == v.Beat {
			s.nodes[at].told = true
		}
	}
}

// countMissedBeat counts a beat of this node since the last one of another.
func (s *State) countMissedBeat(order uint64, at uint8) {
	n := s.nodes[at]
	n.missed = min(n.missed+1, missedMax)
	if n.missed >= SilentBeats && !n.lost {
		n.silent = true
		s.settleLoss(order, at)
	}
}

func (s *State) applyVerdict(order uint64, by uint8, v Verdict) error {
	if v.Beat >= order {
		return ErrImpossible
	}
	at, ok := s.byName[v.Node]
	if !ok || by == at {
		return nil
	}
	n := s.nodes[at]
	if at == s.self && (n.beatOrder == v.Beat || n.beatOrder == 0) {
		s.found = foundSilent{s.nodes[by].name, v.Beat, order}
	}
	if v.Beat != n.beatOrder || at == s.self || slices.ContainsFunc(n.verdicts, func(o verdict) bool { return o.by == by }) {
		return nil // a beat was stored before the verdict
	}
	n.verdicts = append(n.verdicts, verdict{by, order})
	s.settleLoss(order, at)
	return nil
}

// settleLoss makes a node lost that this node finds silent, and about which there is a
// verdict. The author of the first verdict announces the loss. If that one is lost itself
// and has not said that it did, it is the author of the next.
func (s *State) settleLoss(order uint64, at uint8) {
	n := s.nodes[at]
	if !n.silent {
		return
	}
	author := slices.IndexFunc(n.verdicts, func(v verdict) bool { return n.told || !s.nodes[v.by].lost })
	if author < 0 {
		s.emit(Event{Kind: NodeSilent, Order: order, Node: n.name, Beat: n.beatOrder})
		return
	}
	by := n.verdicts[author].by
	newly, announce := !n.lost, by == s.self && !n.told
	if !newly && !announce {
		return
	}
	n.lost, n.told = true, n.told || announce
	s.emit(Event{Kind: NodeLost, Order: order, Node: n.name, Other: s.nodes[by].name, Beat: n.beatOrder, Announce: announce})
	if !newly {
		return
	}
	for i, o := range s.nodes { // what this one was to announce
		if o.lost && !o.told && uint8(i) != at {
			s.settleLoss(order, uint8(i))
		}
	}
}

// authorOf returns the node that answers for the agents of a lost node: the master's, which
// knows whether its manager works, else the author of the first verdict about it that lives,
// else the living one with the lowest name; "" of a node that lives.
func (s *State) authorOf(n *nodeState) (author string) {
	if !n.lost {
		return ""
	}
	for _, o := range s.nodes {
		if !o.lost && o.beatOrder > 0 && o.beat.Role == Master {
			return o.name
		}
	}
	for _, v := range n.verdicts {
		if !s.nodes[v.by].lost {
			return s.nodes[v.by].name
		}
	}
	for _, o := range s.nodes {
		if !o.lost && o.beatOrder > 0 && (author == "" || o.name < author) {
			author = o.name
		}
	}
	return author
}

// foundSilent is another node's verdict about this one.
type foundSilent struct {
	by    string
	beat  uint64
	order uint64
}

// Return returns the verdict about this node whose end it has not announced yet: by whom,
// and the verdict's order, for [Beat.Back]. Order 0 is for none.
func (s *State) Return() (by string, order uint64) { return s.found.by, s.found.order }

// ReturnBeat returns the order of this node's last beat before the silence that the verdict
// of [State.Return] is about.
func (s *State) ReturnBeat() uint64 { return s.found.beat }

// IsAnnounced reports whether a node says that it has announced the loss of one, after the
// beat with an order.
func (s *State) IsAnnounced(node string, beat uint64) bool {
	for _, n := range s.nodes {
		if slices.Contains(n.beat.Told, Verdict{node, beat}) {
			return true
		}
	}
	return false
}

// DismissVerdict removes a verdict that is not true: this node was not silent.
func (s *State) DismissVerdict() { s.found = foundSilent{} }

// ResetSilence gives all nodes the time for new beats: this node was cut off.
func (s *State) ResetSilence() {
	for _, n := range s.nodes {
		if n.missed = 0; !n.lost {
			n.silent = false
		}
	}
}

// Node is what is known of a node.
type Node struct {
	Name   string
	Self   bool
	Beat   Beat
	Order  uint64 // of its last beat; 0 for none
	Lost   bool
	Missed int    // beats of this node since its last one
	Author string // of a lost node: who answers for its agents: see [State.authorOf]
	Agents int    // that it claims to have
	Stored int    // claims, with those of agents that have left
}

// Nodes returns all nodes, this one first.
func (s *State) Nodes() []Node {
	list := make([]Node, 0, len(s.nodes))
	for i, n := range s.nodes {
		list = append(list, Node{Name: n.name, Self: uint8(i) == s.self, Beat: n.beat, Order: n.beatOrder, Lost: n.lost, Missed: n.missed,
			Author: s.authorOf(n), Agents: n.here, Stored: n.claims})
	}
	return list
}

// OwnStamp returns the stamp of this node's latest record.
func (s *State) OwnStamp() Stamp { return s.nodes[s.self].stamp }

// OwnBeat returns the order of this node's latest beat; 0 for none.
func (s *State) OwnBeat() uint64 { return s.nodes[s.self].beatOrder }

// OwnBack returns the Back of this node's latest beat.
func (s *State) OwnBack() uint64 { return s.nodes[s.self].beat.Back }
