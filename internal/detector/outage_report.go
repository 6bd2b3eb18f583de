package detector

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Fleet describes an outage.
type Fleet struct {
	Since     Instant   // the first loss
	SinceTime time.Time // of Since
	Watched   int       // agents that were active or pending before
	Lost      int       // of these, how many were lost so far
	Closed    int       // of the lost, those whose connections closed
	Silent    int       // of the lost, those that only fell silent: if all, the node's own network may be the cause
	Back      int       // OutageEnded: how many of the lost came back
	// Of a sample of the lost, at most ten in a network: how many hosts were probed with a
	// result, and how many of them answer.
	HostsProbed, HostsAnswered int
	Networks                   []Network // of those still lost, most first, maxNetworks at most
}

// Part is how an agent that was lost in an outage counts in it, until that is
// over: by its first loss.
type Part uint8

// The parts.
const (
	NoPart Part = iota // it was not lost in the outage
	ConnectionClosed
	FellSilent
)

var partNames = [...]string{"", "connections_closed", "fell_silent"}

func (p Part) String() string { return partNames[p] }

// ParsePart parses a part by its name, which is that of the count that includes the
// agent.
func ParsePart(name string) (Part, bool) {
	p := slices.Index(partNames[:], name)
	return Part(max(p, 0)), p >= 0
}

// Network counts the lost of an outage in a /24 of IPv4 or a /64 of IPv6.
type Network struct {
	Prefix netip.Prefix
	Lost   int
}

// maxNetworks bounds the list in an outage.
const maxNetworks = 16

// markOutageDecisions sets the outage fields of the batch's decisions.
func (t *Table) markOutageDecisions(now Instant) {
	for i := range t.batch.changes {
		n := &t.batch.changes[i]
		s, d := &t.state[n.slot], &t.decisions[n.decision]
		if _, ok := t.lossOfChange(n, now); ok {
			d.Outage, d.AlertHeld = s.has(awayInOutage), s.has(alertHeld)
		}
		if t.outage.ongoing && s.id == n.id {
			d.Part = s.outagePart()
		}
	}
}

// outagePart returns how an agent counts in the current outage.
func (s *state) outagePart() Part {
	switch {
	case !s.has(member):
		return NoPart
	case s.has(memberClosed):
		return ConnectionClosed
	}
	return FellSilent
}

// reportOutage reports the outage as a whole.
func (t *Table) reportOutage(v Verdict, now Instant) {
	report := t.outage.report
	report.Back = report.Lost - t.outage.membersAway
	report.Networks = t.countLostByNetwork()
	t.decisions = append(t.decisions, Decision{Verdict: v, At: now, Fleet: &report})
}

// networkOf returns the network of a valid address: a /24 of IPv4 or a /64 of IPv6.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	network, _ := addr.Prefix(bits) // the bits fit
	return network
}

// countLostByNetwork counts the lost that are still away by network.
func (t *Table) countLostByNetwork() []Network {
	lost := make(map[netip.Prefix]int)
	for i := range t.outage.members {
		l := &t.outage.members[i]
		if !t.isStillLost(l) || !t.state[l.slot].has(awayInOutage) { // it may have shut down in the instant of its loss
			continue
		}
		if addr := t.addrOf(l.slot); addr.IsValid() {
			lost[networkOf(addr)]++
		}
	}
	list := make([]Network, 0, len(lost))
	for prefix, n := range lost {
		list = append(list, Network{prefix, n})
	}
	slices.SortFunc(list, func(a, b Network) int {
		return cmp.Or(cmp.Compare(b.Lost, a.Lost), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	return list[:min(len(list), maxNetworks)]
}
