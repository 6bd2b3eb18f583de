package daemon

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// departures records in the view that agents have left this node, each once the platform has
// the message of that. So a node that has read of a departure, and then sees the agent, has
// its own message stored after it. Where the platform does not confirm in time, it is
// remembered that the order is not known.
type departures struct {
	outbox forwarding
	view   sharedView

	mu      sync.Mutex
	byAgent map[detector.AgentID]*departure
	fixes   map[detector.AgentID]correction

	// Of a run before this one: the orders of its messages about agents that it had lost, and
	// the agents that it had, if the platform did not have all messages at the start.
	restored map[detector.AgentID]uint64
	unsent   map[detector.AgentID]struct{}
}

// correction is what has to follow this node's message that an agent is lost, which another
// node has, or that it is active, if that one has lost it. It waits, as the other one may have
// stored something else, of which is not read yet.
type correction struct {
	due     time.Time
	publish func(node string, order uint64)
	order   uint64                          // that of the message about the loss: it is no later than that
	active  bool                            // this node has published that the agent is active
	sent    bool                            // and it was stored before what the other one publishes
	absent  func()                          // as publish, if no node has a record of the agent any more
	lost    func(node string, order uint64) // as publish, when that has been published
	pending bool                            // this node has published that the agent has come, and publish is that it is active
}

// departure is an agent that has left.
type departure struct {
	reason   ownership.Reason
	since    uint32
	at       time.Time
	order    uint64 // of its message, in the shared view
	end      uint64 // sequence of its message, or of a later one; 0 until that is on the disk
	recorded bool   // in the view
	// confirmed is set if the platform had the message before, and forget is when that need not
	// be known any more.
	confirmed bool
	forget    time.Time
}

const (
	// departurePoll is how often is looked which messages are confirmed.
	departurePoll = 50 * time.Millisecond
	// departureWait is for how long a departure waits for that.
	departureWait = 2 * time.Second
)

// forwarding is what is asked of an [outbox.Outbox].
type forwarding interface {
	StatusEnd() uint64
	IsForwarded(seq uint64) bool
}

func newDepartures() departures {
	return departures{byAgent: make(map[detector.AgentID]*departure), fixes: make(map[detector.AgentID]correction)}
}

func (p *departures) open(o forwarding, v sharedView, stated []message.StatedAgent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox, p.view = o, v
	p.restored, p.unsent = make(map[detector.AgentID]uint64), make(map[detector.AgentID]struct{})
	sent := o.IsForwarded(o.StatusEnd())
	for _, s := range stated {
		if s.Lost {
			p.restored[s.ID] = s.Order
		} else if !sent {
			p.unsent[s.ID] = struct{}{}
		}
	}
}

// isUnsent reports whether the message of the run before this one that an agent is here may
// be stored after those of other nodes.
func (p *departures) isUnsent(id detector.AgentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.unsent[id]
	delete(p.unsent, id)
	return ok
}

// takeRestored takes up the loss of an agent by a run before this one, which may have had no
// time to correct it. The caller holds mu.
func (p *departures) takeRestored(id detector.AgentID) {
	order, ok := p.restored[id]
	if !ok {
		return
	}
	delete(p.restored, id)
	if p.byAgent[id] == nil {
		p.byAgent[id] = &departure{recorded: true, order: order}
	}
}

// add adds an agent that has left. The function it returns is to be called when the message
// of that is on the disk, by who publishes.
func (p *departures) add(id detector.AgentID, reason ownership.Reason, since uint32, order uint64) (stored func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(id)
	d := &departure{reason: reason, since: since, at: time.Now(), order: order}
	p.byAgent[id] = d
	return func() {
		end := p.outbox.StatusEnd()
		p.mu.Lock()
		d.end = end
		p.mu.Unlock()
	}
}

// remove removes an agent that is back, or has moved or is removed.
func (p *departures) remove(id detector.AgentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(id)
}

func (p *departures) removeLocked(id detector.AgentID) {
	delete(p.restored, id)
	delete(p.byAgent, id)
	delete(p.fixes, id)
}

// correct has a message published that an agent is active on another node, if it still is
// when the correction is due.
func (p *departures) correct(id detector.AgentID, publish, lost func(node string, order uint64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.byAgent[id]; d != nil {
		p.fixes[id] = correction{due: time.Now().Add(departureWait), publish: publish, lost: lost, order: max(1, d.order)}
	}
}

// correctActive has a message published that an agent is lost on another node, if that still
// holds when the correction is due. If the message of this node that it is active was sent, that
// is for the other one to publish, unless it has given up the agent as well, for this node.
func (p *departures) correctActive(id detector.AgentID, sent bool, publish func(node string, order uint64), absent func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fixes[id] = correction{due: time.Now().Add(departureWait), publish: publish, active: true, sent: sent, absent: absent}
}

// correctPending has a message published that an agent is active on another node, or lost there,
// whichever holds when the correction is due: this node has published that the agent has come,
// and nothing after that. No message of another node is before that one.
func (p *departures) correctPending(id detector.AgentID, publish, lost func(node string, order uint64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fixes[id] = correction{due: time.Now().Add(departureWait), publish: publish, lost: lost, order: 1, pending: true}
}

// publishCorrections publishes the corrections that were due at a time, up to which all is read.
func (p *departures) publishCorrections(now time.Time) {
	p.mu.Lock()
	var due []func()
	for id, c := range p.fixes {
		if now.Before(c.due) {
			continue
		}
		delete(p.fixes, id)
		if c.active {
			switch o, ok := p.view.Owner(ownership.AgentID(id)); {
			case ok && o.Reason != ownership.Here && !c.sent:
				due = append(due, func() { c.publish(o.Node, max(1, p.view.DatedOrder(o.Seen))) })
			case !ok && c.absent != nil:
				due = append(due, c.absent)
			}
			continue
		}
		if o, ok := p.view.Elsewhere(ownership.AgentID(id)); ok {
			due = append(due, func() { c.publish(o.Node, c.order) })
			if c.lost != nil { // that may be on its way
				p.fixes[id] = correction{due: now.Add(departureWait), publish: c.lost, active: true}
			}
		} else if o, ok := p.view.Owner(ownership.AgentID(id)); ok && c.pending && o.Reason != ownership.Here {
			due = append(due, func() { c.lost(o.Node, max(1, p.view.DatedOrder(o.Seen))) })
		}
	}
	p.mu.Unlock()
	for _, publish := range due {
		publish()
	}
}

// recordConfirmed records the departures whose messages are confirmed, or have waited for too
// long.
func (p *departures) recordConfirmed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, d := range p.byAgent {
		switch confirmed := d.end > 0 && p.outbox.IsForwarded(d.end); {
		case d.recorded:
			if d.confirmed && now.After(d.forget) {
				delete(p.byAgent, id)
			}
		case confirmed || now.Sub(d.at) >= departureWait:
			p.view.Depart(ownership.AgentID(id), d.reason, d.since)
			d.recorded, d.confirmed, d.forget = true, confirmed, now.Add(2*departureWait)
		}
	}
}

// compareClaim compares a departure with another node's claim of the agent, before this node
// withdraws its own: the other one may have seen the agent before it had read of the departure.
func (p *departures) compareClaim(id ownership.AgentID, o *ownership.Owner, self string) {
	declared := p.view.DeclaredOrder(id)
	p.mu.Lock()
	p.takeRestored(detector.AgentID(id))
	if d := p.byAgent[detector.AgentID(id)]; d != nil {
		d.order = max(d.order, declared)
	}
	p.mu.Unlock()
	for _, c := range p.view.Claims(id) {
		if c.Node == self && (c.Reason == ownership.Here || o.Seen < c.Order) {
			p.mu.Lock()
			d := detector.AgentID(id)
			switch was := p.byAgent[d]; {
			case was == nil:
				p.byAgent[d] = &departure{recorded: true, order: p.view.StatementOrder(id, false)}
			case was.confirmed:
				was.confirmed = false
			}
			p.mu.Unlock()
		}
	}
}

// mayArriveLate reports whether this node's message that an agent has left may be stored after
// that of another node that has it: it was not confirmed when it was recorded, or the other
// one had not read of it.
func (p *departures) mayArriveLate(id detector.AgentID, o *ownership.Owner, self string) bool {
	p.mu.Lock()
	p.takeRestored(id)
	d := p.byAgent[id]
	sure := d != nil && d.recorded && d.confirmed
	p.mu.Unlock()
	if !sure {
		return d != nil
	}
	for _, c := range p.view.Claims(ownership.AgentID(id)) {
		if c.Node == self && c.Reason != ownership.Here && c.Order <= o.Seen {
			return false
		}
	}
	return true
}
