package attach

import (
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// A request to an agent that hangs occupies a slot, and a thread of remoted's, until
// remoted gives it up: closing its connection sooner would free neither. So that a
// network that is gone leaves slots for the others, agents in doubt get a part of the
// slots, and the more are occupied, the sooner an agent is in doubt. The last slots of
// that part are only for networks of which few agents were probed, so that all networks
// are sampled.

const (
	// stuckAfter is how long a request may be unanswered before it counts as one that
	// occupies its slot.
	stuckAfter = 250 * time.Millisecond
	// maxSampled is how many agents of a network may have one of the last slots.
	maxSampled = 2
	// doubtAfter is how long an agent may show no sign of life before it is in doubt:
	// longer than a keep-alive of its own every 10 s takes to be read.
	doubtAfter = 13 * time.Second
)

// slot is that of one request.
type slot struct {
	network netip.Prefix // of its agent; not valid if that is unknown
	sent    time.Time
	doubted bool // its agent was in doubt when it was sent
	stuck   bool // its agent was not in doubt, and does not answer
	over    bool
}

// slotTable has the slots of all requests in flight.
type slotTable struct {
	young     []*slot // in the order of sending; none is known to be stuck
	doubtful  int     // how many are of agents in doubt
	stuck     int
	lastStuck time.Time            // when the last one that is stuck was sent
	occupied  map[netip.Prefix]int // doubtful and stuck ones, by network
}

// takeSlot returns the slot of a new request.
func (t *slotTable) takeSlot(network netip.Prefix, doubted bool, now time.Time) *slot {
	s := &slot{network: network, sent: now, doubted: doubted}
	if doubted {
		t.doubtful++
		t.countNetworkSlots(network, 1)
	} else {
		t.young = append(t.young, s)
	}
	return s
}

// freeSlot frees a slot. To free it twice does no harm.
func (t *slotTable) freeSlot(s *slot) {
	if s == nil || s.over {
		return
	}
	s.over = true
	if s.doubted {
		t.doubtful--
	}
	if s.stuck {
		t.stuck--
	}
	if s.doubted || s.stuck {
		t.countNetworkSlots(s.network, -1)
	}
}

func (t *slotTable) countNetworkSlots(network netip.Prefix, n int) {
	if !network.IsValid() {
		return
	}
	if t.occupied == nil {
		t.occupied = make(map[netip.Prefix]int)
	}
	if t.occupied[network] += n; t.occupied[network] == 0 {
		delete(t.occupied, network)
	}
}

// findStuckRequests finds the requests that have been unanswered for too long.
func (t *slotTable) findStuckRequests(now time.Time) {
	n := 0
	for ; n < len(t.young); n++ {
		s := t.young[n]
		if s.over {
			continue
		}
		if now.Sub(s.sent) < stuckAfter {
			break
		}
		s.stuck, t.lastStuck = true, s.sent
		t.stuck++
		t.countNetworkSlots(s.network, 1)
	}
	if t.young = t.young[n:]; len(t.young) == 0 {
		t.young = nil
	}
}

// isAgentInDoubt reports whether an agent with this last sign of life may hang. Where many
// slots are occupied, the sign has to be more recent; where most are, it has to be from
// after the last request that is stuck.
func (t *slotTable) isAgentInDoubt(sign, now time.Time, window int) bool {
	switch kept := t.doubtful + t.stuck; {
	case 4*kept >= 3*window:
		return now.Sub(sign) > doubtAfter || !sign.After(t.lastStuck)
	case 2*kept >= window:
		return now.Sub(sign) > doubtAfter/2
	}
	return now.Sub(sign) > doubtAfter
}

// hasSlotFor reports whether an agent in doubt may have a slot. It calls network only
// where that matters.
func (t *slotTable) hasSlotFor(window int, network func() netip.Prefix) bool {
	share, kept := max(window/2, 1), t.doubtful+t.stuck
	switch {
	case t.doubtful >= share || kept >= max(window*7/8, 1):
		return false
	case t.doubtful < share-share/4 && kept < max(window*3/4, 1):
		return true
	}
	return t.occupied[network()] < maxSampled
}

// agentQueue is a queue of agents, first in, first out.
type agentQueue struct {
	ids  []detector.AgentID
	head int
}

func (q *agentQueue) pushAgent(id detector.AgentID) { q.ids = append(q.ids, id) }
func (q *agentQueue) len() int                      { return len(q.ids) - q.head }

func (q *agentQueue) popAgent() detector.AgentID {
	id := q.ids[q.head]
	if q.head++; q.head == len(q.ids) {
		q.ids, q.head = q.ids[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.ids) {
		q.ids, q.head = append(q.ids[:0], q.ids[q.head:]...), 0
	}
	return id
}
