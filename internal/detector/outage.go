package detector

import (
	"math"
	"slices"
)

// outage watches for the loss of a large part of the fleet at once.
//
// It begins when the losses of the last span, which is an Interval, are
// OutageShare of the agents that were watched, and spreads as long as a span has
// outageFewest: what is lost meanwhile is part of it. Then it has settled: further losses
// are told one by one, unless they would be an outage by themselves; then it
// begins to spread again and is told again. It ends when more than half of the
// lost are back; those that still stay away after the hold get their alerts then.
//
// Before it begins, when losses and agents in trouble are together as many as
// it takes, alerts wait, for an Interval at most, to see whether it comes.
type outage struct {
	recent []loss // of the last Interval, oldest first
	away   int    // of these, how many are still away
	inVain int    // of these, how many were asked MaxMissed times before
	silent bool   // the fleet is; see isSilent
	queue  []loss // those whose alert waits, oldest first

	on      bool
	settled bool // it does not spread any more
	told    Fleet
	lost    []loss  // its members, until their alerts are told
	left    int     // of these, how many are still away
	hold    Instant // when the hold of the outage that is over ends; 0: there is none
}

// busy reports whether time alone may change something.
func (o *outage) busy() bool {
	return len(o.recent) > 0 || len(o.queue) > 0 || o.hold != 0 || o.over()
}

// over reports whether most of its members are back, or all have left the table.
func (o *outage) over() bool { return o.on && (o.left == 0 || 2*o.left < o.told.Lost) }

// judgeOutage sorts the round's losses: into an outage, into those whose alert
// waits, and the rest, which is told at once.
func (t *Table) judgeOutage(now Instant) {
	o := &t.fleet
	t.countReturns()
	fresh := t.countLosses(now)
	lostOrTroubled, least := o.away+t.troubled, t.leastOutage()
	switch {
	case (!o.on || o.settled) && o.away >= least:
		t.beginOutage(now)
	case o.on && !o.settled && len(o.recent) >= outageFewest:
		t.join(fresh)
	case o.on && !o.settled:
		o.settled = true
	case lostOrTroubled >= least:
		for i := range fresh {
			t.state[fresh[i].slot].flags |= waiting
		}
		o.queue = append(o.queue, fresh...)
	}
	t.mark(now)
	if o.over() {
		t.endOutage(now)
	}
	t.endWaiting(now)
	if o.hold != 0 && o.hold <= now {
		t.endHold()
	}
	o.silent = t.isSilent(now)
}

// countReturns counts those that came back, or were removed.
func (t *Table) countReturns() {
	o := &t.fleet
	for i := range t.round.notes {
		n := &t.round.notes[i]
		if n.from != Disconnected {
			continue
		}
		if n.was&lately != 0 {
			o.away--
		}
		if n.was&inVain != 0 {
			o.inVain--
		}
		if n.was&missing != 0 && o.on {
			o.left--
			if t.out[n.out].Reason.leaves() {
				o.told.count(n.was&memberClosed != 0, -1)
			}
		}
	}
}

// countLosses returns the round's losses, and forgets those that are older
// than an Interval.
func (t *Table) countLosses(now Instant) (fresh []loss) {
	o := &t.fleet
	for i := range t.round.notes {
		if l, ok := t.lossOf(&t.round.notes[i], now); ok {
			s := &t.state[l.slot]
			s.flags |= lately
			o.away++
			if s.reason == MissedKeepAlives {
				s.flags |= inVain
				o.inVain++
			}
			fresh = append(fresh, l)
		}
	}
	o.recent = append(o.recent, fresh...)
	old := 0
	for old < len(o.recent) && now.Sub(o.recent[old].told) >= t.span {
		if l := &o.recent[old]; t.stands(l) {
			o.forgetLoss(&t.state[l.slot])
		}
		old++
	}
	o.recent = shift(o.recent, old)
	return fresh
}

// forgetLoss takes an agent that is still away out of the recent losses.
func (o *outage) forgetLoss(s *state) {
	if s.has(lately) {
		o.away--
	}
	if s.has(inVain) {
		o.inVain--
	}
	s.flags &^= lately | inVain
}

// shift drops a queue's first n, and its memory with the last.
func shift(queue []loss, n int) []loss {
	if n == len(queue) {
		return nil
	}
	return queue[n:]
}

// leastOutage is how many losses make an outage.
func (t *Table) leastOutage() int {
	share := t.set.OutageShare * float64(t.watching()+t.fleet.away)
	return max(outageFewest, int(math.Ceil(share)))
}

func (t *Table) beginOutage(now Instant) {
	o := &t.fleet
	if o.hold != 0 {
		t.endHold()
	}
	if !o.on {
		o.told, o.left = Fleet{Since: now, Watched: t.watching() + o.away}, 0
	}
	o.on, o.settled = true, false
	t.join(o.recent)
	t.tell(OutageBegan, now)
}

// join makes losses part of the outage.
func (t *Table) join(losses []loss) {
	o := &t.fleet
	for _, l := range losses {
		s := &t.state[l.slot]
		if !t.stands(&l) || s.has(missing) {
			continue
		}
		o.told.Since = min(o.told.Since, l.at)
		if !s.has(member) { // else it was lost before, and back in between
			if s.reason == ConnectionLost {
				s.flags |= memberClosed
			}
			o.told.count(s.reason == ConnectionLost, 1)
		}
		s.flags = s.flags&^waiting | member | missing
		o.lost = append(o.lost, l)
		o.left++
	}
	if len(o.lost) > 2*o.told.Lost+maxNetworks {
		o.lost = latest(o.lost)
	}
}

// latest keeps the last loss of every agent.
func latest(all []loss) []loss {
	kept := make(map[int32]bool, len(all)/2)
	slices.Reverse(all)
	all = slices.DeleteFunc(all, func(l loss) bool {
		double := kept[l.slot]
		kept[l.slot] = true
		return double
	})
	slices.Reverse(all)
	return all
}

// count counts n agents that were lost, because their connections closed or not.
func (f *Fleet) count(closed bool, n int) {
	f.Lost += n
	if closed {
		f.Closed += n
	} else {
		f.Silent += n
	}
}

// endOutage ends it. What was lost in it does not count towards another.
func (t *Table) endOutage(now Instant) {
	o := &t.fleet
	o.on, o.hold = false, now.Add(t.set.OutageHold)
	for i := range o.recent {
		if t.stands(&o.recent[i]) {
			o.forgetLoss(&t.state[o.recent[i].slot])
		}
	}
	o.recent, o.away, o.inVain = nil, 0, 0
	for i := range o.lost {
		if s := &t.state[o.lost[i].slot]; s.id == o.lost[i].id {
			s.flags &^= member | memberClosed
		}
	}
	t.tell(OutageEnded, now)
}

// endWaiting tells the alerts that have waited for an Interval.
func (t *Table) endWaiting(now Instant) {
	o := &t.fleet
	over := 0
	for over < len(o.queue) && now.Sub(o.queue[over].told) >= t.span {
		t.release(&o.queue[over], waiting)
		over++
	}
	o.queue = shift(o.queue, over)
}

// endHold tells the alerts of those that stayed away.
func (t *Table) endHold() {
	o := &t.fleet
	for i := range o.lost {
		t.release(&o.lost[i], missing)
	}
	o.lost, o.hold = nil, 0
}
