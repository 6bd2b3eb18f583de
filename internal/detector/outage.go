package detector

import (
	"math"
	"slices"
)

// outage detects the loss of a large part of the fleet at once.
//
// It begins when the losses of the last span, which is an Interval, are
// OutageShare of the agents that were watched, and spreads as long as a span has
// minOutage losses, which are part of it. Then it has settled: further losses
// are reported one by one, unless they would be an outage by themselves; then it
// begins to spread again and is reported again. It ends when more than half of the
// lost are back; the alerts of those still away after the hold are released then.
//
// Before it begins, while losses and unresponsive agents together reach the threshold,
// alerts wait, for an Interval at most.
type outage struct {
	recent           []loss  // of the last Interval, oldest first
	recentAway       int     // of these, how many are still away
	recentUnanswered int     // of these, how many had MaxMissed unanswered keep-alives
	fleetSilent      bool    // see isFleetSilent
	queue            []loss  // those whose alert waits, oldest first
	reportDue        Instant // when its beginning is reported, if the sample has not reported; 0: it is
	began            Instant // of a report that is due

	ongoing     bool
	settled     bool // it does not spread any more
	report      Fleet
	members     []loss  // its members, until their alerts are released
	membersAway int     // of these, how many are still away
	holdEnd     Instant // when the hold of the last outage ends; 0: there is none
}

// needsSweep reports whether passing time may change the outage.
func (o *outage) needsSweep() bool {
	return len(o.recent) > 0 || len(o.queue) > 0 || o.holdEnd != 0 || o.reportDue != 0 || o.isOver()
}

// isOver reports whether most of its members are back, or all were removed.
func (o *outage) isOver() bool {
	return o.ongoing && (o.membersAway == 0 || 2*o.membersAway < o.report.Lost)
}

// updateOutage sorts the batch's losses: into an outage, into those whose alert
// waits, and the rest, which are reported at once.
func (t *Table) updateOutage(now Instant) {
	o := &t.outage
	t.countReturnedMembers()
	fresh := t.collectBatchLosses(0, now)
	t.dropOldLosses(now)
	if n := len(t.batch.changes); t.isOutageWithWaiting() {
		t.giveUpWaiting()
		fresh = append(fresh, t.collectBatchLosses(n, now)...)
	}
	t.reportDueOutage(now)
	lostOrTroubled, least := o.recentAway+t.unresponsive, t.outageThreshold()
	switch {
	case (!o.ongoing || o.settled) && o.recentAway >= least:
		t.beginOutage(now)
	case o.ongoing && !o.settled && len(o.recent) >= minOutage:
		t.addOutageMembers(fresh)
	case o.ongoing && !o.settled:
		o.settled = true
	case lostOrTroubled >= least:
		for i := range fresh {
			t.state[fresh[i].slot].flags |= alertWaiting
		}
		o.queue = append(o.queue, fresh...)
	}
	t.markOutageDecisions(now)
	if o.isOver() {
		t.endOutage(now)
	}
	t.releaseWaitingAlerts(now)
	if o.holdEnd != 0 && o.holdEnd <= now {
		t.releaseMemberAlerts(now)
	}
	o.fleetSilent = t.isFleetSilent(now)
}

// countReturnedMembers counts the agents that came back, or were removed.
func (t *Table) countReturnedMembers() {
	o := &t.outage
	for i := range t.batch.changes {
		n := &t.batch.changes[i]
		if n.from != Disconnected {
			continue
		}
		if n.flagsBefore&recentlyLost != 0 {
			o.recentAway--
		}
		if n.flagsBefore&unanswered != 0 {
			o.recentUnanswered--
		}
		if n.flagsBefore&awayInOutage != 0 && o.ongoing {
			o.membersAway--
			if d := &t.decisions[n.decision]; d.Reason.isRemoval(d.To) {
				o.report.countLost(n.flagsBefore&memberClosed != 0, -1)
			}
		}
	}
}

// collectBatchLosses returns the losses among the batch's changes from a number on, and
// adds them to the recent ones.
func (t *Table) collectBatchLosses(from int, now Instant) (fresh []loss) {
	o := &t.outage
	for i := from; i < len(t.batch.changes); i++ {
		if l, ok := t.lossOfChange(&t.batch.changes[i], now); ok {
			s := &t.state[l.slot]
			s.flags |= recentlyLost
			o.recentAway++
			if s.reason == MissedKeepAlives {
				s.flags |= unanswered
				o.recentUnanswered++
			}
			fresh = append(fresh, l)
		}
	}
	o.recent = append(o.recent, fresh...)
	return fresh
}

// isOutageWithWaiting reports whether the recent losses and those that wait for the probes
// of their hosts are an outage.
func (t *Table) isOutageWithWaiting() bool {
	o := &t.outage
	waiting := t.countWaitingLosses()
	return waiting > 0 && (!o.ongoing || o.settled) && o.recentAway+waiting >= t.outageThreshold()
}

// dropOldLosses drops from recent the losses that are older than an Interval.
func (t *Table) dropOldLosses(now Instant) {
	o, old := &t.outage, 0
	for old < len(o.recent) && now.Sub(o.recent[old].decidedAt) >= t.span {
		if l := &o.recent[old]; t.isStillLost(l) {
			o.forgetRecentLoss(&t.state[l.slot])
		}
		old++
	}
	o.recent = dropFirst(o.recent, old)
}

// forgetRecentLoss removes an agent that is still away from the recent losses.
func (o *outage) forgetRecentLoss(s *state) {
	if s.has(recentlyLost) {
		o.recentAway--
	}
	if s.has(unanswered) {
		o.recentUnanswered--
	}
	s.flags &^= recentlyLost | unanswered
}

// dropFirst removes the first n of a queue, and frees its memory when it is empty.
func dropFirst(queue []loss, n int) []loss {
	if n == len(queue) {
		return nil
	}
	return queue[n:]
}

// outageThreshold returns how many losses are an outage.
func (t *Table) outageThreshold() int {
	share := t.set.OutageShare * float64(t.countWatchedAgents()+t.outage.recentAway)
	return max(minOutage, int(math.Ceil(share)))
}

func (t *Table) beginOutage(now Instant) {
	o := &t.outage
	if o.holdEnd != 0 {
		t.releaseMemberAlerts(now)
	}
	t.reportPendingOutage()
	if !o.ongoing {
		o.report, o.membersAway = Fleet{Since: now, Watched: t.countWatchedAgents() + o.recentAway}, 0
	}
	o.ongoing, o.settled = true, false
	t.addOutageMembers(o.recent)
	t.askSample(now)
	o.began, o.reportDue = now, now.Add(ProbeWait)
	t.reportDueOutage(now)
}

// reportDueOutage reports the beginning of an outage once the hosts of the sample have been
// probed, or have had the time to answer.
func (t *Table) reportDueOutage(now Instant) {
	if o := &t.outage; o.reportDue != 0 && (o.reportDue <= now || t.probes.isSampleDone()) {
		t.reportPendingOutage()
	}
}

func (t *Table) reportPendingOutage() {
	if o := &t.outage; o.reportDue != 0 {
		o.reportDue = 0
		t.endSample()
		t.reportOutage(OutageBegan, o.began)
	}
}

// addOutageMembers makes losses part of the outage.
func (t *Table) addOutageMembers(losses []loss) {
	o := &t.outage
	for _, l := range losses {
		s := &t.state[l.slot]
		if !t.isStillLost(&l) || s.has(awayInOutage) {
			continue
		}
		o.report.Since = min(o.report.Since, l.at)
		if !s.has(member) { // else it was lost before, and had come back
			if s.reason == ConnectionLost {
				s.flags |= memberClosed
			}
			o.report.countLost(s.reason == ConnectionLost, 1)
		}
		s.flags = s.flags&^alertWaiting | member | awayInOutage | lostInOutage
		t.addMemberProbe(&l)
		o.members = append(o.members, l)
		o.membersAway++
	}
	if len(o.members) > 2*o.report.Lost+maxNetworks {
		o.members = keepLatestLosses(o.members)
	}
}

// keepLatestLosses keeps the last loss of every agent.
func keepLatestLosses(all []loss) []loss {
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

// countLost counts n lost agents, by whether their connections closed.
func (f *Fleet) countLost(closed bool, n int) {
	f.Lost += n
	if closed {
		f.Closed += n
	} else {
		f.Silent += n
	}
}

// endOutage ends the outage. Its losses do not count towards another.
func (t *Table) endOutage(now Instant) {
	o := &t.outage
	o.ongoing, o.holdEnd = false, now.Add(t.set.OutageHold)
	for i := range o.recent {
		if t.isStillLost(&o.recent[i]) {
			o.forgetRecentLoss(&t.state[o.recent[i].slot])
		}
	}
	o.recent, o.recentAway, o.recentUnanswered = nil, 0, 0
	for i := range o.members {
		if s := &t.state[o.members[i].slot]; s.id == o.members[i].id {
			s.flags &^= member | memberClosed
		}
	}
	t.reportPendingOutage()
	t.reportOutage(OutageEnded, now)
}

// releaseWaitingAlerts releases the alerts that have waited for an Interval.
func (t *Table) releaseWaitingAlerts(now Instant) {
	o := &t.outage
	over := 0
	for over < len(o.queue) && now.Sub(o.queue[over].decidedAt) >= t.span {
		t.releaseHeldAlert(&o.queue[over], alertWaiting, now)
		over++
	}
	o.queue = dropFirst(o.queue, over)
}

// releaseMemberAlerts releases the alerts of the members that are still away.
func (t *Table) releaseMemberAlerts(now Instant) {
	o := &t.outage
	for i := range o.members {
		t.releaseHeldAlert(&o.members[i], awayInOutage, now)
	}
	o.members, o.holdEnd = nil, 0
}
