package attach

import (
	"net/netip"
	"time"
)

// A request to an agent that hangs keeps its place, and a thread of remoted's, until
// remoted gives it up: hanging up sooner would free neither. So that a network that is
// gone leaves places for the others, an agent is in doubt the sooner, the more places are
// kept, and those in doubt get a part of them; the last of that part only go to networks
// of which few were asked, so that the sample that was asked in vain is of all.

const (
	// stuckAfter is how long a request may be unanswered before it is taken for one
	// that keeps its place.
	stuckAfter = 250 * time.Millisecond
	// firstOfNetwork is how many agents of a network are asked before its turn is over
	// for the last places.
	firstOfNetwork = 2
)

// slot is what a request has at remoted.
type slot struct {
	network netip.Prefix // of its agent; not valid if that is unknown
	sent    time.Time
	doubted bool // its agent was, when it was sent
	stuck   bool // its agent was not, and does not answer
	over    bool
}

// slotTable are those of all requests that are out.
type slotTable struct {
	young     []*slot // in the order of sending: of these, none is known to be stuck
	doubtful  int     // of agents that were in doubt
	stuck     int
	lastStuck time.Time            // when the last request was sent that is stuck
	occupied  map[netip.Prefix]int // doubtful and stuck ones, by network
}

// takeSlot counts a new request's place.
func (ps *slotTable) takeSlot(network netip.Prefix, doubted bool, now time.Time) *slot {
	p := &slot{network: network, sent: now, doubted: doubted}
	if doubted {
		ps.doubtful++
		ps.countNetwork(network, 1)
	} else {
		ps.young = append(ps.young, p)
	}
	return p
}

// freeSlot takes it that a request is over.
func (ps *slotTable) freeSlot(p *slot) {
	if p == nil || p.over {
		return
	}
	p.over = true
	if p.doubted {
		ps.doubtful--
	}
	if p.stuck {
		ps.stuck--
	}
	if p.doubted || p.stuck {
		ps.countNetwork(p.network, -1)
	}
}

func (ps *slotTable) countNetwork(network netip.Prefix, n int) {
	if !network.IsValid() {
		return
	}
	if ps.occupied == nil {
		ps.occupied = make(map[netip.Prefix]int)
	}
	if ps.occupied[network] += n; ps.occupied[network] == 0 {
		delete(ps.occupied, network)
	}
}

// findStuck finds the requests that have not been answered by now.
func (ps *slotTable) findStuck(now time.Time) {
	n := 0
	for ; n < len(ps.young); n++ {
		p := ps.young[n]
		if p.over {
			continue
		}
		if now.Sub(p.sent) < stuckAfter {
			break
		}
		p.stuck, ps.lastStuck = true, p.sent
		ps.stuck++
		ps.countNetwork(p.network, 1)
	}
	if ps.young = ps.young[n:]; len(ps.young) == 0 {
		ps.young = nil
	}
}

// doubtAfter is how long an agent may show no sign of life before it is in doubt: longer
// than a keep-alive of its own every 10 s takes to be read.
const doubtAfter = 13 * time.Second

// inDoubt reports whether an agent with this last sign of life may hang. Where many places
// are kept already by agents that had looked well, it takes a fresher one, and where
// most are, one from after that.
func (ps *slotTable) inDoubt(sign, now time.Time, window int) bool {
	switch kept := ps.doubtful + ps.stuck; {
	case 4*kept >= 3*window:
		return now.Sub(sign) > doubtAfter || !sign.After(ps.lastStuck)
	case 2*kept >= window:
		return now.Sub(sign) > doubtAfter/2
	}
	return now.Sub(sign) > doubtAfter
}

// hasSlotFor reports whether an agent in doubt may be asked, of a network that is looked up
// only where that matters.
func (ps *slotTable) hasSlotFor(window int, network func() netip.Prefix) bool {
	share, kept := max(window/2, 1), ps.doubtful+ps.stuck
	switch {
	case ps.doubtful >= share || kept >= max(window*7/8, 1):
		return false
	case ps.doubtful < share-share/4 && kept < max(window*3/4, 1):
		return true
	}
	return ps.occupied[network()] < firstOfNetwork
}
