package ownership

import (
	"slices"
	"time"
)

// Member is one node's part in the cluster: what the records say, what it has itself, and
// which records it is to store next. It does no I/O: its caller reads the stream and stores
// the records. One goroutine at a time may use it.
type Member struct {
	State *State
	Own   *Own

	name     string
	emit     func(Event)
	stamp    Stamp     // of the record made last
	frontier frontier  // up to which order the stream has stored records
	verdicts []Verdict // to be stored
	told     []Verdict // losses of nodes that it has announced
	back     uint64    // the verdict about this node whose end it has announced
	now      time.Duration
}

// NewMember returns one that has read nothing. Epoch is above that of its runs before, and
// emit gets the events, within the calls that cause them; nil for none.
func NewMember(name string, epoch uint64, emit func(Event)) *Member {
	if emit == nil {
		emit = func(Event) {}
	}
	m := &Member{Own: NewOwn(), name: name, emit: emit, stamp: Stamp{max(epoch, 1), 0}}
	m.resetState()
	return m
}

func (m *Member) resetState() {
	m.State = New(m.name)
	m.State.Emit = m.handleEvent
}

// ForgetStream makes it begin anew: the stream is another one than before, or has lost records.
func (m *Member) ForgetStream() {
	m.resetState()
	m.Own.ForgetOrders()
	m.frontier, m.verdicts, m.told, m.back = frontier{}, nil, nil, 0
}

// SetTime sets the present time, on any monotonic clock.
func (m *Member) SetTime(now time.Duration) { m.now = max(m.now, now) }

// AdvanceFrontier records that the stream has stored a record with that order.
func (m *Member) AdvanceFrontier(order uint64) { m.frontier.advanceTo(order, m.now) }

// Frontier returns the highest order that is known to be stored.
func (m *Member) Frontier() uint64 { return m.frontier.order }

// handleEvent does what an event asks of this node, and passes it on.
func (m *Member) handleEvent(e Event) {
	switch e.Kind {
	case NodeSilent:
		v := Verdict{e.Node, e.Beat}
		if !slices.Contains(m.verdicts, v) {
			m.verdicts = append(m.verdicts, v)
		}
		return
	case DeclaredLost:
		m.Own.addDeclaration(e.Agent, e.Order)
		if c, ok := m.Own.Claim(e.Agent); !ok || c.Reason != Here || m.Own.isRestored(e.Agent) {
			return // it is when it shows itself: see RecordSighting
		}
		m.Own.Reclaim(e.Agent)
	case Claimed:
		if r := m.State.table.findOf(e.Agent, m.State.self); r != nil && r.reason != Here {
			m.adoptStored(e.Agent)
		}
		if c, ok := m.Own.Claim(e.Agent); ok && c.Reason != Here && !c.isTemporary() {
			m.giveWay(&c)
		}
	}
	m.emit(e)
}

// AdoptEpoch makes this node's records later than those of an epoch, which a run before
// had. What was stored meanwhile is stored again: others have refused it.
func (m *Member) AdoptEpoch(epoch uint64) {
	if epoch < m.stamp.Epoch || epoch >= epochMax || epoch == m.stamp.Epoch && m.stamp.Number > 0 {
		return
	}
	if m.stamp.Number > 0 {
		m.Own.EnqueueAll()
	}
	m.stamp = Stamp{epoch + 1, 0}
}

// epochMax is what no epoch reaches by counting, and none begins with.
const epochMax = 1 << 61

// ApplyRecord takes up a record that was read.
func (m *Member) ApplyRecord(order uint64, key Key, r Record) error {
	m.AdvanceFrontier(order)
	if key.Node == m.name && r.Stamp.Epoch > m.stamp.Epoch {
		m.AdoptEpoch(r.Stamp.Epoch)
	}
	if key.Node == m.name && r.Kind == BeatRecord && r.Stamp.Epoch < m.stamp.Epoch {
		m.AdoptBeat(&r.Beat)
	}
	if key.Node == m.name && key.Kind == ClaimRecord {
		m.Own.recordRead(key.Agent, order)
	}
	err := m.State.Apply(order, key, r)
	if err == nil && r.Kind == ClaimRecord {
		m.withdrawLoss(order, &key, &r)
	}
	return err
}

// AdoptBeat takes up what a run before this one has announced. Its beat may be replaced
// before it is read with the other records.
func (m *Member) AdoptBeat(b *Beat) {
	for _, v := range b.Told {
		if !slices.Contains(m.told, v) {
			m.told = append(m.told, v)
		}
	}
	m.back = max(m.back, b.Back)
}

// Arrival is what a sign of life shows of where the agent was before.
type Arrival struct {
	From  Owner // the latest claim of another node
	Moved bool  // that is later than this node's sign of life before
	Late  bool  // the sign of life is older than another node's valid claim, and proves nothing
}

// RecordSighting records a sign of life of an agent on this node. If another node's claim is
// the valid one, this node claims the agent again.
func (m *Member) RecordSighting(s *Sighting) (a Arrival) {
	s.Frontier = m.frontier.orderBefore(m.now, s.Age)
	own, known := m.Own.Claim(s.Agent)
	if a = m.findArrival(s, own.Seen); a.Late {
		return a
	}
	if s.Stays {
		m.adoptStored(s.Agent)
		if own, known = m.Own.Claim(s.Agent); !known || own.Reason != Here {
			return a
		}
	}
	restored := m.Own.isRestored(s.Agent)
	m.Own.RecordSighting(s)
	if !known || restored || own.Reason != Here {
		m.checkDeclared(s.Agent)
	}
	if o := m.State.ownerRow(s.Agent); o == nil || o.node != m.State.self {
		if own, ok := m.State.Own(s.Agent); ok && own.Reason == Here {
			m.Own.Dispute(s.Agent, m.now)
		}
	}
	return a
}

// findArrival compares a sign of life with the claims of other nodes. Seen is the order before
// this node's last one.
func (m *Member) findArrival(s *Sighting, seen uint64) (a Arrival) {
	latest := m.findLatest(s.Agent)
	if latest == nil || latest.order() <= seen {
		return a
	}
	a.From = m.State.ownerOf(latest)
	a.Late = latest.order() > s.Frontier && latest.reason == Here && !a.From.Lost
	a.Moved = latest.order() <= s.Frontier || latest.reason != Here // where the agent is not any more, whichever came first
	return a
}

// findLatest returns the latest claim of an agent by another node, nil if there is none. That
// the agent is lost with this node is no claim to it.
func (m *Member) findLatest(id AgentID) (latest *row) {
	for at := m.State.table.find(id); at != 0; {
		r := m.State.table.rowAt(at)
		if r.node != m.State.self && r.lostWith() != m.State.self+1 && (latest == nil || latest.precedes(r)) {
			latest = r
		}
		at = r.next
	}
	return latest
}

// LaterClaim returns the latest claim of an agent by another node, which may have lost it
// since, if it was stored after the agent's last sign of life on this node.
func (m *Member) LaterClaim(id AgentID) (o Owner, ok bool) {
	c, _ := m.Own.Claim(id)
	r := m.findLatest(id)
	if r == nil || r.order() <= c.Seen {
		return o, false
	}
	return m.State.ownerOf(r), true
}

// adoptStored takes up what a run before this one stored of an agent.
func (m *Member) adoptStored(id AgentID) {
	if _, known := m.Own.Claim(id); known {
		return
	}
	if r := m.State.table.findOf(id, m.State.self); r != nil {
		m.Own.adopt(&Claim{Agent: id, Reason: r.reason, With: m.State.ownerOf(r).With, Since: r.since, Sign: r.sign, From: r.from(), Seen: r.seen(), Addr: r.address()}, r.order())
	}
}

// RecordDeparture records that an agent has left this node, in this run or the one before.
func (m *Member) RecordDeparture(id AgentID, reason Reason, since uint32) {
	m.adoptStored(id)
	m.Own.RecordDeparture(id, reason, since)
}

// Elsewhere returns where an agent is that had its last sign of life on this node: ok is
// true if that was not after the one on another node.
func (m *Member) Elsewhere(id AgentID) (o Owner, ok bool) {
	c, _ := m.Own.Claim(id)
	return m.State.Elsewhere(id, c.Seen)
}

// IsHere reports whether an agent has shown itself on this node in this run, and has not left.
func (m *Member) IsHere(id AgentID) bool {
	c, ok := m.Own.Claim(id)
	return ok && c.Reason == Here && !m.Own.isRestored(id)
}

// StatementOrder returns an order for what this node states of an agent now, by which the
// statements of two nodes can be compared. That the agent is here is true since it came, and
// later than what other nodes have claimed. That it has left is true since its last sign of
// life here, and since this node's claim of it was stored: of an agent that came and left while
// nothing could be stored, another node states that it has moved here when it reads that claim.
// What a node states of an agent that it never had is true as far as it has read.
func (m *Member) StatementOrder(id AgentID, here bool) uint64 {
	m.adoptStored(id)
	c, known := m.Own.Claim(id)
	switch {
	case !known:
		return m.State.Position()
	case !here:
		return max(c.Seen, m.Own.claimOrder(id), m.Own.DeclaredOrder(id))
	}
	order := max(c.From, m.Own.claimOrder(id), m.Own.DeclaredOrder(id))
	if order == 0 { // nothing had been read when it came
		order = m.frontier.order
	}
	if r := m.findLatest(id); r != nil {
		order = max(order, r.order())
	}
	return order
}

// Write is a record to be stored.
type Write struct {
	Key   Key
	Text  []byte
	Claim Claim // of a claim
	Brief bool  // the stream is to remove it after LeavingTime
}

// HasWrites reports whether there are records to be stored, besides beats.
func (m *Member) HasWrites() bool { return len(m.verdicts)+len(m.Own.queue) > 0 }

// TakeWrites returns up to n records to be stored, in this order, after those that were
// returned before. Each has to be followed by [Member.ConfirmWrite] or [Member.RetryWrite].
func (m *Member) TakeWrites(n int) (list []Write) {
	for _, v := range m.verdicts {
		list = append(list, Write{Key: Key{Node: m.name, Kind: VerdictRecord, Other: v.Node}, Text: AppendVerdict(nil, m.nextStamp(), v)})
	}
	m.verdicts = nil
	for _, c := range m.Own.TakeQueued(nil, n-len(list)) {
		list = append(list, Write{Key{Node: m.name, Kind: ClaimRecord, Agent: c.Agent}, AppendClaim(nil, m.nextStamp(), &c, m.State.Position()), c, c.isTemporary()})
	}
	return list
}

func (m *Member) nextStamp() Stamp {
	m.stamp.Number++
	return m.stamp
}

// ConfirmWrite reports that a record was stored with an order.
func (m *Member) ConfirmWrite(w *Write, order uint64) {
	m.AdvanceFrontier(order)
	if w.Key.Kind == ClaimRecord {
		m.Own.ConfirmStored(&w.Claim, order, m.now)
		if r := m.State.table.findOf(w.Claim.Agent, m.State.self); orderOf(r) < order {
			m.Own.expectRead(&w.Claim, order)
		}
	}
}

// RecordRefused records that the stream has a record with an order under this node's name that
// is not valid.
func (m *Member) RecordRefused(key Key, order uint64) {
	if key.Node == m.name && key.Kind == ClaimRecord {
		m.Own.recordRead(key.Agent, order)
		m.Own.recordRefused(key.Agent, order)
	}
}

// RequeueUnread has this node's claims stored again that somebody has removed before this node
// has read them, and returns how many. Those that were read are counted by [Member.IsIncomplete].
func (m *Member) RequeueUnread() int { return m.Own.requeueUnread(m.State.Position()) }

// ReplaceRefused has valid records stored over those that were refused, and returns how many.
// Of agents that neither this run nor a valid record of one before it has, only if all is true:
// that is when this run has claimed all that it has.
func (m *Member) ReplaceRefused(all bool, since uint32) int {
	for id := range m.Own.refused {
		m.adoptStored(id)
	}
	return m.Own.replaceRefused(all, since)
}

// IsIncomplete reports whether the stream has fewer claims of this node, or records of all
// nodes, than were read: somebody has removed them.
func (m *Member) IsIncomplete(ownClaims, records int) bool {
	if ownClaims < m.State.nodes[m.State.self].claims+m.Own.countLeaving(m.State, m.now) {
		return true
	}
	known := m.State.table.used
	for _, n := range m.State.nodes {
		if n.beatOrder > 0 {
			known++
		}
	}
	return records < known
}

// HasUnclaimed reports whether the stream has more claims that agents are on this node than this
// run has agents: it may not have made them.
func (m *Member) HasUnclaimed() bool { return m.State.nodes[m.State.self].here > m.Own.here }

// RetryWrite reports that a record was not stored, or that this is not known.
func (m *Member) RetryWrite(w *Write) {
	if w.Key.Kind == ClaimRecord {
		m.Own.Requeue(w.Key.Agent)
	}
}

// MakeBeat returns this node's next sign of life. Started, Role and Version are the caller's.
func (m *Member) MakeBeat(b Beat) Write {
	here, _ := m.Own.Counts()
	m.told = slices.DeleteFunc(m.told, func(v Verdict) bool {
		at, ok := m.State.byName[v.Node]
		return ok && m.State.nodes[at].beat.Back > v.Beat
	})
	b.Agents, b.Back, b.Told = uint32(here), m.back, m.told
	return Write{Key: Key{Node: m.name, Kind: BeatRecord}, Text: AppendBeat(nil, m.nextStamp(), &b)}
}

// ConfirmNodeLost reports that this node has announced the loss of another.
func (m *Member) ConfirmNodeLost(node string, beat uint64) {
	m.AdoptBeat(&Beat{Told: []Verdict{{node, beat}}})
}

// ConfirmReturn reports that this node has announced its return, after the verdict with an order.
func (m *Member) ConfirmReturn(order uint64) {
	m.back = max(m.back, order)
	if _, found := m.State.Return(); found <= m.back {
		m.State.DismissVerdict()
	}
}

// ResumeReading is called when the stream can be read and written again: after a partition,
// or at the start.
func (m *Member) ResumeReading() { m.State.ResetSilence() }

// ReconcileStored is called when all of the stream has been read. It has everything of this
// node stored that the stream does not have, and returns how many agents that were.
func (m *Member) ReconcileStored() int { return m.Own.Reconcile(m.State) }
