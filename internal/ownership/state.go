package ownership

import (
	"errors"
	"fmt"
	"slices"
)

// Limits of what the records of others may take.
const (
	NodesMax    = 64
	ClaimsMax   = 1 << 20 // of one node
	SilentBeats = 6       // of this node, after the last one of another: that one is silent
	missedMax   = 1 << 15
)

// The errors of [State.Apply].
var (
	ErrReplayed   = errors.New("the record's stamp is not above that of the record before it")
	ErrImpossible = errors.New("the record refers to a later one")
	ErrTooMany    = errors.New("too many")
	ErrMisplaced  = errors.New("the record is not of the kind of its key")
)

// nodeState is what is known of one node.
type nodeState struct {
	name      string
	stamp     Stamp  // of its latest record
	position  uint64 // order of its latest record
	beat      Beat   // the latest
	beatOrder uint64 // 0 for none
	missed    int    // beats of this node since then
	silent    bool   // missed is enough
	lost      bool
	told      bool      // the loss is announced
	claims    int       // rows in the table
	here      int       // those of them that have not left
	verdicts  []verdict // about its silence after beatOrder, in their order
}

type verdict struct {
	by    uint8
	order uint64
}

// State is what the records say. See [New].
type State struct {
	// Emit gets the events, in order, within the calls that cause them. It must not change
	// the state. Nil for none.
	Emit func(Event)

	self     uint8
	nodes    []*nodeState
	byName   map[string]uint8
	table    table
	position uint64 // order of the latest record
	found    foundSilent
	mark     uint8 // of rows whose records were read since BeginReread
}

// New returns the state before any record, as the node self sees it.
func New(self string) *State {
	s := &State{byName: make(map[string]uint8)}
	s.self, _ = s.nodeIndex(self)
	return s
}

func (s *State) nodeIndex(name string) (uint8, error) {
	if i, ok := s.byName[name]; ok {
		return i, nil
	}
	if len(s.nodes) >= NodesMax {
		return 0, fmt.Errorf("%w nodes: %d are known", ErrTooMany, NodesMax)
	}
	i := uint8(len(s.nodes))
	s.nodes = append(s.nodes, &nodeState{name: name})
	s.byName[name] = i
	return i, nil
}

func (s *State) emit(e Event) {
	if s.Emit != nil {
		s.Emit(e)
	}
}

// Apply takes up the record with an order. Records are applied in their order; one that
// was applied already changes nothing.
func (s *State) Apply(order uint64, key Key, r Record) error {
	if !key.Accepts(&r) {
		return ErrMisplaced
	}
	at, err := s.nodeIndex(key.Node)
	if err != nil {
		return err
	}
	n := s.nodes[at]
	switch {
	case order <= n.position:
		return nil
	case !r.Stamp.after(n.stamp):
		return ErrReplayed
	}
	switch r.Kind {
	case ClaimRecord:
		if r.Read >= order {
			return ErrImpossible
		}
		err = s.applyClaim(order, at, &r.Claim)
	case BeatRecord:
		err = s.applyBeat(order, at, r.Beat)
	case VerdictRecord:
		err = s.applyVerdict(order, at, r.Verdict)
	}
	if err == nil {
		n.stamp, n.position, s.position = r.Stamp, order, max(s.position, order)
	}
	return err
}

func (s *State) applyClaim(order uint64, node uint8, c *Claim) error {
	if c.Seen >= order {
		return ErrImpossible
	}
	n := s.nodes[node]
	before := s.table.findOf(c.Agent, node)
	if before == nil && n.claims >= ClaimsMax {
		return fmt.Errorf("%w agents: the node has %d", ErrTooMany, ClaimsMax)
	}
	had := s.ownerRow(c.Agent)
	hadNode := s.nameOf(had)
	s.checkDuplicate(order, node, c, before)
	wasHere := before != nil && before.reason == Here
	returned := c.Reason == Here && s.findDeclaration(c.Agent, node, orderOf(before)) != nil
	row, orderBefore := before, orderOf(before)
	switch {
	case c.Reason == Moved || c.Reason == Removed:
		if s.table.remove(c.Agent, node) {
			n.claims--
		}
	default:
		if row == nil {
			row = s.table.add(c.Agent, node)
			n.claims++
		}
		row.setClaim(order, c)
		row.mark = s.mark
		row.setLostWith(s.nodeOfLoss(node, c))
	}
	if wasHere {
		n.here--
	}
	if c.Reason == Here {
		n.here++
	}
	if returned || node != s.self && c.Reason == Here && s.isLostSince(c.Agent, orderBefore) {
		hadNode = ""
	}
	s.emitOwnerChange(order, c, node, hadNode)
	if own := s.table.findOf(c.Agent, s.self); node != s.self && row != nil && row.lostWith() == s.self+1 && (own == nil || own.order() < order) {
		s.emit(Event{Kind: DeclaredLost, Order: order, Agent: c.Agent, Node: n.name, Other: s.nodes[s.self].name})
	}
	return nil
}

// isLostSince reports whether this node has lost an agent after an order, or found it stopped.
func (s *State) isLostSince(id AgentID, order uint64) bool {
	own := s.table.findOf(id, s.self)
	return own != nil && own.reason != Here && own.order() > order
}

func orderOf(r *row) uint64 {
	if r == nil {
		return 0
	}
	return r.order()
}

// emitOwnerChange emits what a claim of a node has changed.
func (s *State) emitOwnerChange(order uint64, c *Claim, node uint8, hadNode string) {
	has := s.ownerRow(c.Agent)
	switch name := s.nameOf(has); {
	case has != nil && name != hadNode:
		s.emit(Event{Kind: Claimed, Order: order, Agent: c.Agent, Node: name, Other: hadNode, Addr: has.address()})
	case has == nil && c.Reason != Here:
		s.emit(Event{Kind: Departed, Order: order, Agent: c.Agent, Node: s.nodes[node].name, Reason: c.Reason})
	}
	if own := s.table.findOf(c.Agent, s.self); own != nil && own.reason == Here && has != nil && has != own && (node == s.self || node == has.node) {
		s.emit(Event{Kind: Unproven, Order: order, Agent: c.Agent, Node: s.nodes[s.self].name, Other: s.nameOf(has)})
	}
}

// ownerRow returns the valid claim of an agent by a living node; nil for none.
func (s *State) ownerRow(id AgentID) (owner *row) {
	left := uint64(0)
	for at := s.table.find(id); at != 0; {
		r := s.table.rowAt(at)
		switch {
		case r.hasLeft():
			left = max(left, r.from())
		case r.reason == Here && !s.nodes[r.node].lost && (owner == nil || owner.precedes(r)):
			owner = r
		}
		at = r.next
	}
	if owner != nil && s.isOutdated(owner, left) {
		return nil
	}
	return owner
}

// isOutdated reports whether a claim is not valid although no later one is: the agent came to
// another node after it was stored, and has left that one for none, and the claim's own node
// has shown no sign of life since: it cannot have read of that, and is dead, or cut off. Left
// is the order up to which records were stored before the agent came there.
func (s *State) isOutdated(r *row, left uint64) bool {
	return left >= r.order() && left >= s.nodes[r.node].beatOrder
}

func (s *State) nameOf(r *row) string {
	if r == nil {
		return ""
	}
	return s.nodes[r.node].name
}

// checkDuplicate finds an agent that is on two nodes. The new claim has to follow one of
// another node, which followed the claim before of this one, each with a sign of life that
// came after the claim it follows was stored, and the agent has to have been on both all
// the time: one machine would have come anew each time.
func (s *State) checkDuplicate(order uint64, node uint8, c *Claim, before *row) {
	if before == nil || before.reason != Here || c.Reason != Here || c.From > before.order() {
		return
	}
	for at := s.table.find(c.Agent); at != 0; {
		o := s.table.rowAt(at)
		if o.node != node && o.reason == Here && o.from() < before.order() && o.seen() >= before.order() && c.Seen >= o.order() {
			s.emit(Event{Kind: Duplicated, Order: order, Agent: c.Agent, Node: s.nodes[node].name, Other: s.nodes[o.node].name,
				Addr: c.Addr, OtherAddr: o.address()})
			return
		}
		at = o.next
	}
}

// Owner returns where an agent is, or was last: ok is false for an agent that no node has
// claimed. A living node's claim comes before any other.
func (s *State) Owner(id AgentID) (o Owner, ok bool) {
	r := s.ownerRow(id)
	if r == nil {
		for at := s.table.find(id); at != 0; {
			if x := s.table.rowAt(at); r == nil || r.precedes(x) {
				r = x
			}
			at = s.table.rowAt(at).next
		}
	}
	if r == nil {
		return o, false
	}
	return s.ownerOf(r), true
}

func (s *State) ownerOf(r *row) Owner {
	n := s.nodes[r.node]
	with := ""
	if r.lostWith() > 0 {
		with = s.nodes[r.lostWith()-1].name
	}
	return Owner{Node: n.name, Reason: r.reason, Lost: n.lost, With: with, Since: r.since, Sign: r.sign, From: r.from(), Seen: r.seen(), Order: r.order(), Addr: r.address()}
}

// Elsewhere returns the valid claim of an agent if it is another node's, and was stored
// after the last sign of life that this node saw. Seen is the order before that.
func (s *State) Elsewhere(id AgentID, seen uint64) (o Owner, ok bool) {
	r := s.ownerRow(id)
	if r == nil || r.node == s.self || r.order() <= seen {
		return o, false
	}
	return s.ownerOf(r), true
}

// Own returns this node's claim of an agent as it is stored.
func (s *State) Own(id AgentID) (o Owner, ok bool) { return s.ClaimOf(id, s.nodes[s.self].name) }

// ClaimOf returns a node's claim of an agent as it is stored.
func (s *State) ClaimOf(id AgentID, node string) (o Owner, ok bool) {
	at, known := s.byName[node]
	if !known {
		return o, false
	}
	r := s.table.findOf(id, at)
	if r == nil {
		return o, false
	}
	return s.ownerOf(r), true
}

// Claims returns all nodes' claims of an agent.
func (s *State) Claims(id AgentID) (list []Owner) {
	for at := s.table.find(id); at != 0; {
		r := s.table.rowAt(at)
		list = append(list, s.ownerOf(r))
		at = r.next
	}
	return list
}

// Located is an agent, and one node's claim of it.
type Located struct {
	Agent AgentID
	Owner
}

// PageClaims appends page n of the claims of all nodes, and reports whether there are more
// pages. An agent may have several claims. Successive pages are not of the same moment.
func (s *State) PageClaims(list []Located, n int) (page []Located, more bool) {
	if n < 0 || n >= len(s.table.chunks) {
		return list, false
	}
	for i := range s.table.chunks[n] {
		if r := &s.table.chunks[n][i]; r.orderHigh|r.orderLow != 0 {
			list = append(list, Located{r.agent, s.ownerOf(r)})
		}
	}
	return list, n+1 < len(s.table.chunks)
}

// ForgetNode removes all that is known of a node, so that its records can be applied anew.
func (s *State) ForgetNode(name string) {
	at, ok := s.byName[name]
	if !ok {
		return
	}
	s.removeRows(func(r *row) bool { return r.node == at })
	*s.nodes[at] = nodeState{name: name}
	for _, n := range s.nodes {
		n.verdicts = slices.DeleteFunc(n.verdicts, func(v verdict) bool { return v.by == at })
	}
}

// BeginReread begins to read the stream again from its first record: it may have lost
// records, or the node was away for longer than it keeps some of them. What was read before
// is valid until then.
func (s *State) BeginReread() {
	s.mark++
	for _, n := range s.nodes {
		n.stamp, n.position = Stamp{}, 0
	}
}

// EndReread removes the claims that were not read since [State.BeginReread].
func (s *State) EndReread() (removed int) {
	return s.removeRows(func(r *row) bool { return r.mark != s.mark })
}

// removeRows removes claims, and emits what has changed by that.
func (s *State) removeRows(remove func(*row) bool) (removed int) {
	for _, chunk := range s.table.chunks {
		for i := range chunk {
			r := &chunk[i]
			if r.orderHigh|r.orderLow == 0 || !remove(r) {
				continue
			}
			n, hadNode := s.nodes[r.node], s.nameOf(s.ownerRow(r.agent))
			c, node, order := Claim{Agent: r.agent, Reason: Removed}, r.node, r.order()
			if r.reason == Here {
				n.here--
			}
			n.claims--
			removed++
			s.table.remove(r.agent, r.node)
			if hadNode == n.name {
				s.emitOwnerChange(order, &c, node, hadNode)
			}
		}
	}
	return removed
}

// Position returns the order of the latest record.
func (s *State) Position() uint64 { return s.position }

// Bytes returns how much memory the claims take, and how many there are.
func (s *State) Bytes() (bytes, claims int) { return s.table.bytes(), s.table.used }
