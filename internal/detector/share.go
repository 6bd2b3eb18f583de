package detector

import "time"

// shareWindow is the time in which an agent may have Settings.MaxChanges of its
// status changes reported one by one.
const shareWindow = time.Minute

// excess holds the withheld changes of an agent that changes its status more often than
// its share allows. They are reported together, as the last of them, as often as the
// share allows. It is dropped when the agent has its whole share again, which takes a
// shareWindow without a change at most.
type excess struct {
	withheld int       // changes since the last report
	from     Status    // before the first of them
	last     Decision  // the last of them
	step     *Decision // an Escalated after that
}

// changeCost returns the average time between reported changes that a share allows.
func (t *Table) changeCost() time.Duration { return shareWindow / time.Duration(t.set.MaxChanges) }

// nextReportAllowed returns when the agent's share allows to report a change.
func (t *Table) nextReportAllowed(slot int32) Instant {
	return t.share[slot].Add(t.changeCost() - shareWindow)
}

// spendChangeShare subtracts a reported change from the agent's share.
func (t *Table) spendChangeShare(slot int32, now Instant) {
	t.share[slot] = max(t.share[slot], now).Add(t.changeCost())
}

// limitReportedChanges withholds those of the decisions since its last call that are
// changes beyond an agent's share. The first is replaced by a report that the agent's
// changes are being withheld.
func (t *Table) limitReportedChanges(now Instant) {
	if t.set.MaxChanges == 0 || !t.hasReport {
		t.limited = len(t.decisions)
		return
	}
	t.hasReport = false
	out := t.decisions[:t.limited]
	for i := t.limited; i < len(t.decisions); i++ {
		if d := &t.decisions[i]; t.isReported(d, now) {
			out = append(out, *d)
		}
	}
	t.decisions, t.limited = out, len(out)
}

// isReported reports whether a decision stays in the output. One that is a
// change beyond the agent's share is counted, or becomes the report about that.
func (t *Table) isReported(d *Decision, now Instant) bool {
	switch {
	case d.Verdict == Changed && d.Changes == 0 && !d.Reason.isRemoval(d.To):
	case d.Verdict == AlertReleased && len(t.excess) > 0:
		slot, _ := t.slots.findAgentSlot(d.ID)
		x := t.excess[slot]
		if x == nil || x.withheld == 0 {
			return true
		}
		x.last.AlertHeld, x.last.Outage = false, d.Outage // the alert comes with the loss
		return false
	case d.Verdict == Escalated && len(t.excess) > 0:
		slot, _ := t.slots.findAgentSlot(d.ID)
		x := t.excess[slot]
		if x == nil || x.withheld == 0 {
			return true
		}
		x.step = new(Decision)
		*x.step = *d
		return false
	default:
		return true
	}
	slot, _ := t.slots.findAgentSlot(d.ID)
	if x := t.excess[slot]; x != nil && (x.withheld > 0 || t.nextReportAllowed(slot) > now) {
		t.withholdChange(x, slot, d)
		return false
	}
	if t.nextReportAllowed(slot) <= now {
		t.spendChangeShare(slot, now)
		return true
	}
	x := &excess{}
	t.excess[slot] = x
	t.state[slot].flags |= hasExcess
	t.withholdChange(x, slot, d)
	if f := t.flaps[slot]; f != nil && f.flapping || d.Silenced {
		return false // that is reported already, or not to be
	}
	*d = Decision{Verdict: Flapping, At: d.At, ID: d.ID, Group: d.Group, Name: d.Name, IP: d.IP, Changes: t.set.MaxChanges + 1}
	return true
}

func (t *Table) withholdChange(x *excess, slot int32, d *Decision) {
	if x.withheld == 0 {
		x.from = d.From
	}
	x.withheld++
	x.last, x.step = *d, nil
	t.ensureDueBy(slot, t.nextReportAllowed(slot))
}

// excessDue returns when an agent's excess is to be processed.
func (t *Table) excessDue(slot int32) Instant {
	switch {
	case !t.state[slot].has(hasExcess):
		return never
	case t.excess[slot].withheld > 0:
		return t.nextReportAllowed(slot)
	}
	return t.share[slot]
}

// reportOrDropExcess reports an agent's withheld changes if that is due, or drops
// the excess.
func (t *Table) reportOrDropExcess(slot int32, now Instant) {
	if t.excessDue(slot) > now {
		return
	}
	if t.excess[slot].withheld == 0 {
		t.forgetExcess(slot)
		return
	}
	t.reportWithheldChanges(slot)
	t.spendChangeShare(slot, now)
}

func (t *Table) reportWithheldChanges(slot int32) {
	x := t.excess[slot]
	d := x.last
	d.From, d.Changes = x.from, x.withheld
	t.decisions = append(t.decisions, d)
	if x.step != nil {
		t.decisions = append(t.decisions, *x.step)
	}
	*x = excess{}
}

func (t *Table) forgetExcess(slot int32) {
	delete(t.excess, slot)
	t.state[slot].flags &^= hasExcess
}

// endExcess reports the withheld changes of an agent that leaves the table
// together with its last change, which is the latest decision.
func (t *Table) endExcess(slot int32) {
	if x := t.excess[slot]; x != nil && x.withheld > 0 {
		d := &t.decisions[len(t.decisions)-1]
		d.From, d.Changes = x.from, x.withheld+1
	}
	delete(t.excess, slot)
	t.share[slot] = 0
}

// ReportAllWithheld reports all changes that are withheld, for the caller to end.
func (t *Table) ReportAllWithheld() {
	for slot := range t.state {
		if x := t.excess[int32(slot)]; x != nil && x.withheld > 0 {
			t.reportWithheldChanges(int32(slot))
		}
	}
}
