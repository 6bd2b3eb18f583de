package ownership

import (
	"net/netip"
	"time"
)

// Limits of claims that two nodes dispute: each time that this node claims such an agent
// again, it waits longer before the next time.
const (
	disputeMin = 5 * time.Second
	disputeMax = time.Minute
)

// ownAgent is what this node knows of one of its agents.
type ownAgent struct {
	claim    Claim
	queued   bool
	sent     bool          // it is being stored
	order    uint64        // of the claim that was stored last
	restored bool          // by the run before this one, and it has shown nothing since
	held     bool          // of that run too: that it is here is not stored before what the others have stored is read
	waits    bool          // for that, to be stored
	claimed  uint64        // of the claim that it is here that was stored last, or of the run before
	declared uint64        // see DeclaredOrder
	wait     time.Duration // between two claims of a disputed agent; 0 for not disputed
	disputed time.Duration // when it was claimed last in a dispute
}

// Own has this node's agents, and which of their claims are to be stored. Of an agent that
// changes often, only its latest claim is. Times are on any monotonic clock. One goroutine
// at a time may use it.
type Own struct {
	agents map[AgentID]*ownAgent
	queue  []AgentID // to be stored, in this order; an agent is in it once
	here   int
	// leaving has the agents with a stored claim that the stream removes after some time.
	leaving map[AgentID]time.Duration // until when it has it at least
	refused map[AgentID]uint64        // orders of records under this node's name that are not valid
	unread  map[AgentID]uint64        // orders of claims that are stored, and that this node has not read
}

// NewOwn returns one without agents.
func NewOwn() *Own {
	return &Own{agents: make(map[AgentID]*ownAgent), leaving: make(map[AgentID]time.Duration), refused: make(map[AgentID]uint64), unread: make(map[AgentID]uint64)}
}

// LeavingTime is how long the stream keeps the claims of agents that have moved or are removed:
// time enough for every node to read them.
const LeavingTime = time.Hour

// isTemporary reports whether the claim is only kept for a time.
func (c *Claim) isTemporary() bool { return c.Reason == Moved || c.Reason == Removed }

// Sighting is a sign of life of an agent on this node.
type Sighting struct {
	Agent       AgentID
	Since, Sign uint32        // Unix times
	Arrived     bool          // the agent has come, or come anew: it is not the connection before
	Age         time.Duration // for how long it has been known to nobody here: how old it is
	Stays       bool          // it proves nothing of an agent that has left, and does not bring it back
	Addr        netip.Addr    // zero for not known: the one before stays
	Frontier    uint64        // an order of the stream: all up to it were stored before the sighting
}

// RecordSighting records that an agent is here. It is to be stored if it was not here
// before or has come anew.
func (o *Own) RecordSighting(s *Sighting) {
	a := o.agents[s.Agent]
	if a == nil {
		a = &ownAgent{claim: Claim{Agent: s.Agent, Reason: Removed}}
		o.agents[s.Agent] = a
	}
	c := &a.claim
	arrived := s.Arrived || c.Reason != Here || a.restored
	a.restored = false
	changed := arrived || s.Addr.IsValid() && s.Addr != c.Addr
	if c.Reason != Here {
		o.here++
	}
	if arrived {
		c.Reason, c.With, c.Since, c.From = Here, "", s.Since, s.Frontier
	}
	if s.Addr.IsValid() {
		c.Addr = s.Addr
	}
	c.Sign, c.Seen = s.Sign, max(c.Seen, s.Frontier)
	if changed {
		o.enqueue(a)
	}
}

// RecordDeparture records that an agent has left, at a Unix time. An agent that is not here
// is not changed, except to be removed.
func (o *Own) RecordDeparture(id AgentID, reason Reason, since uint32) {
	a := o.agents[id]
	if a == nil || a.claim.Reason == reason || a.claim.Reason != Here && reason != Removed && reason != Moved {
		return
	}
	if a.claim.Reason == Here {
		o.here--
	}
	a.claim.Reason, a.claim.With, a.claim.Since = reason, "", since
	o.enqueue(a)
}

// claimOrder returns the order of the latest stored claim that an agent is here; 0 for none.
func (o *Own) claimOrder(id AgentID) uint64 {
	if a := o.agents[id]; a != nil {
		return a.claimed
	}
	return 0
}

// addDeclaration records that another node has recorded, with an order, that an agent is lost
// with this node. What this node states of the agent from now on is later.
func (o *Own) addDeclaration(id AgentID, order uint64) {
	if a := o.agents[id]; a != nil {
		a.declared = max(a.declared, order)
	}
}

// DeclaredOrder returns the order of the latest record of another node that an agent is lost
// with this one; 0 for none.
func (o *Own) DeclaredOrder(id AgentID) uint64 {
	if a := o.agents[id]; a != nil {
		return a.declared
	}
	return 0
}

// Reclaim has an agent claimed again, if it is here.
func (o *Own) Reclaim(id AgentID) {
	if a := o.agents[id]; a != nil && a.claim.Reason == Here {
		o.enqueue(a)
	}
}

// Dispute has an agent claimed again that is here while another node's claim is the valid
// one. It returns false, and does nothing, if the last time is too recent.
func (o *Own) Dispute(id AgentID, now time.Duration) bool {
	a := o.agents[id]
	if a == nil || a.claim.Reason != Here || a.queued || a.wait > 0 && now-a.disputed < a.wait {
		return false
	}
	if a.wait > 0 && now-a.disputed > 2*disputeMax {
		a.wait = 0
	}
	a.wait = min(max(2*a.wait, disputeMin), disputeMax)
	a.disputed = now
	o.enqueue(a)
	return true
}

func (o *Own) enqueue(a *ownAgent) {
	switch {
	case a.held && a.claim.Reason == Here:
		a.waits = true
	case !a.queued:
		a.queued = true
		o.queue = append(o.queue, a.claim.Agent)
	}
}

// TakeQueued removes up to n agents from the queue and returns their latest claims.
func (o *Own) TakeQueued(claims []Claim, n int) []Claim {
	taken := 0
	for _, id := range o.queue {
		if n == 0 {
			break
		}
		taken++
		a := o.agents[id]
		switch {
		case a == nil || !a.queued:
		case a.held && a.claim.Reason == Here: // again, since it was enqueued
			a.queued, a.waits = false, true
		default:
			a.queued, a.sent = false, true
			claims = append(claims, a.claim)
			n--
		}
	}
	o.queue = o.queue[taken:]
	if len(o.queue) == 0 {
		o.queue = nil
	}
	return claims
}

// ConfirmStored reports that a claim is stored, with an order.
func (o *Own) ConfirmStored(c *Claim, order uint64, now time.Duration) {
	a := o.agents[c.Agent]
	if a != nil {
		if a.sent, a.order = false, order; c.Reason == Here {
			a.claimed = max(a.claimed, order)
		}
	}
	if !c.isTemporary() {
		delete(o.leaving, c.Agent)
		return
	}
	o.leaving[c.Agent] = now + LeavingTime - time.Minute
	if a != nil && !a.queued && a.claim.Reason == c.Reason {
		delete(o.agents, c.Agent)
	}
}

// expectRead records that a claim is stored, with an order, and to be read: to a node that
// never reads it, nobody's count of records shows that it was removed.
func (o *Own) expectRead(c *Claim, order uint64) {
	if c.isTemporary() {
		delete(o.unread, c.Agent)
		return
	}
	o.unread[c.Agent] = order
}

// recordRead records that a claim with an order is read.
func (o *Own) recordRead(id AgentID, order uint64) {
	if o.unread[id] <= order {
		delete(o.unread, id)
	}
}

// requeueUnread has claims stored again that were not where later records were read.
func (o *Own) requeueUnread(position uint64) (requeued int) {
	for id, order := range o.unread {
		if order > position {
			continue
		}
		delete(o.unread, id)
		if a := o.agents[id]; a != nil && !a.sent && a.order == order {
			o.enqueue(a)
			requeued++
		}
	}
	return requeued
}

// countLeaving returns how many claims the stream has at least beside those of the state.
func (o *Own) countLeaving(s *State, now time.Duration) (n int) {
	for id, until := range o.leaving {
		if until < now {
			delete(o.leaving, id)
		} else if _, ok := s.Own(id); !ok {
			n++
		}
	}
	return n
}

// Requeue has a claim stored that could not be.
func (o *Own) Requeue(id AgentID) {
	if a := o.agents[id]; a != nil {
		a.sent = false
		o.enqueue(a)
	}
}

// Reconcile has everything stored that the stream has otherwise, or does not have. What is
// stored but not read yet is left out.
func (o *Own) Reconcile(s *State) (differing int) {
	for id, a := range o.agents {
		if a.sent || a.order > s.position {
			continue
		}
		c := &a.claim
		stored, ok := s.Own(id)
		same := ok && stored.Reason == c.Reason && stored.With == c.With && stored.Since == c.Since && stored.Addr == c.Addr || !ok && c.isTemporary()
		if !same {
			o.enqueue(a)
			differing++
		}
	}
	return differing
}

// EnqueueAll has all agents stored that are here.
func (o *Own) EnqueueAll() {
	for _, a := range o.agents {
		if a.claim.Reason == Here {
			o.enqueue(a)
		}
	}
}

// adopt takes up the claim of a run before this one, which was stored with an order.
func (o *Own) adopt(c *Claim, order uint64) {
	a := &ownAgent{claim: *c, order: order}
	o.agents[c.Agent] = a
	if c.Reason == Here {
		a.claimed = order
		o.here++
	}
}

// DepartUnknown records as removed all agents that the stream has as being on this node and
// that it does not have.
func (o *Own) DepartUnknown(s *State, since uint32) (departed int) {
	for n, more := 0, true; more; n++ {
		var page []Located
		page, more = s.PageClaims(nil, n)
		for i := range page {
			id := page[i].Agent
			if page[i].Node != s.nodes[s.self].name || page[i].Reason != Here || o.agents[id] != nil {
				continue
			}
			a := &ownAgent{claim: Claim{Agent: id, Reason: Removed, Since: since}}
			o.agents[id] = a
			o.enqueue(a)
			departed++
		}
	}
	return departed
}

// recordRefused records that the stream has a record of an agent under this node's name that
// is not valid: a run before this one has signed it with a key that is gone, or somebody else
// has stored it.
func (o *Own) recordRefused(id AgentID, order uint64) {
	if _, known := o.refused[id]; known || len(o.refused) < ClaimsMax {
		o.refused[id] = max(o.refused[id], order)
	}
}

// replaceRefused has the present claims of agents stored over refused records, and of agents
// that are not known that they are removed, if all is: others may have read such a record
// while it was valid.
func (o *Own) replaceRefused(all bool, since uint32) (replaced int) {
	for id, order := range o.refused {
		a := o.agents[id]
		switch {
		case a != nil && a.sent, a == nil && !all:
			continue
		case a == nil:
			a = &ownAgent{claim: Claim{Agent: id, Reason: Removed, Since: since}}
			o.agents[id] = a
			o.enqueue(a)
			replaced++
		case a.order < order && !a.queued:
			o.enqueue(a)
			replaced++
		}
		delete(o.refused, id)
	}
	return replaced
}

// RecordLossFor records that an agent of another node, which is lost, is lost too.
func (o *Own) RecordLossFor(id AgentID, node string, since uint32, frontier uint64) {
	a := o.agents[id]
	if a == nil {
		a = &ownAgent{claim: Claim{Agent: id}}
		o.agents[id] = a
	} else if a.claim.Reason == Here {
		return
	}
	a.claim.Reason, a.claim.With, a.claim.Since, a.claim.From, a.claim.Seen = Lost, node, since, frontier, frontier
	o.enqueue(a)
}

// ForgetOrders makes all orders of the stream 0: the stream is another one.
func (o *Own) ForgetOrders() {
	for _, a := range o.agents {
		a.claim.From, a.claim.Seen, a.order, a.claimed, a.declared = 0, 0, 0, 0, 0
	}
	clear(o.leaving)
	clear(o.refused)
	clear(o.unread)
}

// Claim returns what this node knows of an agent.
func (o *Own) Claim(id AgentID) (c Claim, ok bool) {
	if a := o.agents[id]; a != nil {
		return a.claim, true
	}
	return c, false
}

// Counts returns how many agents are here, and how many claims are to be stored.
func (o *Own) Counts() (here, queued int) { return o.here, len(o.queue) }
