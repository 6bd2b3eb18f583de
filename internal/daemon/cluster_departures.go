package daemon

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
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
	waiting int // of them, those that are not recorded
}

// departure is an agent that has left.
type departure struct {
	reason   ownership.Reason
	since    uint32
	at       time.Time
	end      uint64 // sequence of its message, or of a later one; 0 until that is on the disk
	recorded bool   // in the view, and it is not known which message is stored first
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

func (p *departures) open(o forwarding, v sharedView) {
	p.outbox, p.view = o, v
}

// add adds an agent that has left. The function it returns is to be called when the message
// of that is on the disk, by who publishes.
func (p *departures) add(id detector.AgentID, reason ownership.Reason, since uint32) (stored func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(id)
	d := &departure{reason: reason, since: since, at: time.Now()}
	p.byAgent[id] = d
	p.waiting++
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
	if d := p.byAgent[id]; d != nil && !d.recorded {
		p.waiting--
	}
	delete(p.byAgent, id)
}

// recordConfirmed records the departures whose messages are confirmed, or have waited for too
// long.
func (p *departures) recordConfirmed(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		return
	}
	for id, d := range p.byAgent {
		confirmed := d.end > 0 && p.outbox.IsForwarded(d.end)
		if d.recorded || !confirmed && now.Sub(d.at) < departureWait {
			continue
		}
		p.view.Depart(ownership.AgentID(id), d.reason, d.since)
		p.waiting--
		if d.recorded = true; confirmed {
			delete(p.byAgent, id)
		}
	}
}

// compareClaim compares a departure with another node's claim of the agent, before this node
// withdraws its own: the other one may have seen the agent before it had read of the departure.
func (p *departures) compareClaim(id ownership.AgentID, o *ownership.Owner, self string) {
	for _, c := range p.view.Claims(id) {
		if c.Node == self && (c.Reason == ownership.Here || o.Seen < c.Order) {
			p.mu.Lock()
			if d := detector.AgentID(id); p.byAgent[d] == nil {
				p.byAgent[d] = &departure{recorded: true}
			}
			p.mu.Unlock()
		}
	}
}

// mayArriveLate reports whether this node's message that an agent has left may be stored after
// that of another node that has it: it was not confirmed when it was recorded, or the other
// one had not read of it.
func (p *departures) mayArriveLate(id detector.AgentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byAgent[id] != nil
}
