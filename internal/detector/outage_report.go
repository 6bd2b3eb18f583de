package detector

import (
	"cmp"
	"net/netip"
	"slices"
)

// mark writes into the round's decisions what has become of them.
func (t *Table) mark(now Instant) {
	for i := range t.round.notes {
		n := &t.round.notes[i]
		s, d := &t.state[n.slot], &t.out[n.out]
		if _, ok := t.lossOf(n, now); ok {
			d.Outage, d.AlertHeld = s.has(missing), s.has(alertHeld)
		}
		if t.fleet.on && s.id == n.id {
			d.Part = s.outagePart()
		}
	}
}

// outagePart is how an agent counts in the outage that goes on.
func (s *state) outagePart() Part {
	switch {
	case !s.has(member):
		return NoPart
	case s.has(memberClosed):
		return ConnectionClosed
	}
	return FellSilent
}

// tell reports the outage as a whole.
func (t *Table) tell(v Verdict, now Instant) {
	report := t.fleet.told
	report.Back = report.Lost - t.fleet.left
	report.Networks = t.networks()
	t.out = append(t.out, Decision{Verdict: v, At: now, Fleet: &report})
}

// networks counts where the lost are that stay away.
func (t *Table) networks() []Network {
	lost := make(map[netip.Prefix]int)
	for i := range t.fleet.lost {
		l := &t.fleet.lost[i]
		if addr := t.who[l.slot].addr; t.stands(l) && addr.IsValid() {
			bits := 64
			if addr.Is4() {
				bits = 24
			}
			network, _ := addr.Prefix(bits) // the bits fit
			lost[network]++
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
