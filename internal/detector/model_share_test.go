package detector

import "time"

// modelShare is what an agent's status changes have used of its share: a bucket
// that leaks one change in every minute / MaxChanges, and holds MaxChanges.
type modelShare struct {
	used     time.Duration // in the time that it takes to leak
	at       Instant       // when that was so
	exceeded bool          // since it was empty last
	withheld []Decision
	step     *Decision // an Escalated after the last of them
}

// refill updates the bucket to now.
func (s *modelShare) refill(now Instant) {
	s.used = max(0, s.used-now.Sub(s.at))
	s.at = now
}

// timeToReport returns how long it takes until the bucket can hold one more.
func (m *model) timeToReport(s *modelShare) time.Duration {
	cost := time.Minute / time.Duration(m.set.MaxChanges)
	return max(0, s.used+cost-time.Minute)
}

// shareDue returns when a share that was exceeded is to be processed.
func (m *model) shareDue(s *modelShare) Instant {
	switch {
	case len(s.withheld) > 0:
		return s.at.Add(m.timeToReport(s))
	case s.exceeded:
		return s.at.Add(s.used)
	}
	return never
}

func (m *model) settleShare(a *modelAgent, now Instant) {
	s := &a.share
	if m.shareDue(s) > now {
		return
	}
	s.refill(now)
	if len(s.withheld) == 0 {
		s.exceeded = false
		return
	}
	m.reportWithheld(a)
	s.used += time.Minute / time.Duration(m.set.MaxChanges)
}

func (m *model) reportWithheld(a *modelAgent) {
	all := a.share.withheld
	d := all[len(all)-1]
	d.From, d.Changes = all[0].From, len(all)
	m.decisions = append(m.decisions, d)
	if a.share.step != nil {
		m.decisions = append(m.decisions, *a.share.step)
	}
	a.share.withheld, a.share.step = nil, nil
}

func (m *model) reportAllWithheld() {
	for _, a := range m.slots {
		if a != nil && len(a.share.withheld) > 0 {
			m.reportWithheld(a)
		}
	}
}

// limitChanges removes the decisions since its last call that exceed a share.
func (m *model) limitChanges(now Instant) {
	fresh := m.decisions[m.limited:]
	m.decisions = append([]Decision(nil), m.decisions[:m.limited]...)
	for _, d := range fresh {
		a := m.agents[d.ID]
		switch {
		case m.set.MaxChanges == 0 || a == nil:
		case d.Verdict == AlertReleased && len(a.share.withheld) > 0:
			last := &a.share.withheld[len(a.share.withheld)-1]
			last.AlertHeld, last.Outage = false, d.Outage
			continue
		case d.Verdict == Escalated && len(a.share.withheld) > 0:
			a.share.step = &d
			continue
		case d.Verdict == Changed && d.Changes == 0 && d.Reason != AgentRemoved:
			s := &a.share
			s.refill(now)
			if len(s.withheld) == 0 && m.timeToReport(s) == 0 {
				s.used += time.Minute / time.Duration(m.set.MaxChanges)
				break
			}
			s.withheld, s.step = append(s.withheld, d), nil
			at, _ := m.nextDeadline(a)
			m.scheduleCheck(a, at)
			if s.exceeded || a.flapping || d.Silenced {
				s.exceeded = true
				continue
			}
			s.exceeded = true
			d = Decision{Verdict: Flapping, At: d.At, ID: d.ID, Group: d.Group, Name: d.Name, IP: d.IP, Changes: m.set.MaxChanges + 1}
		}
		m.decisions = append(m.decisions, d)
	}
	m.limited = len(m.decisions)
}
