package detector

import "time"

// restore fills the model with the state of an earlier one.
func (m *model) restore(agents []Restored, last *Outage) {
	var o *modelOutage
	if last != nil && (last.Ended == 0 || last.Ended.Add(m.set.OutageHold) > 0) {
		o = &modelOutage{since: last.Since, watched: last.Watched, settled: true, probed: last.HostsProbed, answering: last.HostsAnswered, of: map[*modelAgent]*modelChange{},
			away: map[*modelChange]bool{}, gone: map[*modelChange]bool{}}
		if last.Ended == 0 {
			m.outage = o
		} else {
			m.over, o.end = o, max(last.Ended.Add(m.set.OutageHold), Instant(m.set.Interval))
		}
	}
	for slot := range agents {
		r := &agents[slot]
		a := &modelAgent{id: r.ID, slot: slot, name: r.Name, listed: r.IP, status: r.Status, reason: r.Reason, wasActive: r.Greeted,
			restored: r.Status == Active || r.Status == Pending, phases: m.unknownPhases()}
		m.locate(a, r.Addr)
		if r.Status != NeverConnected {
			life := min(r.LastSeen, -1)
			a.lastSeen = &life
		}
		if !a.restored {
			a.missed = r.Missed
		}
		c := &modelChange{agent: a, from: r.From, to: r.Status, why: r.Reason, at: r.Since}
		a.changes, a.since, a.from, a.info = []*modelChange{c}, r.Since, r.From, r.Info
		if r.Status == Disconnected {
			a.restoreAbsence(r)
		}
		m.slots, m.agents[r.ID] = append(m.slots, a), a
		m.counts[r.Status]++
		if o != nil {
			m.restorePart(o, c, r, last)
		}
		m.restoreHeld(c, r)
	}
}

func (a *modelAgent) restoreAbsence(r *Restored) {
	e := &r.Evidence
	a.step, a.alerted, a.closed = r.Step, r.Alerted, e.Closed || r.Reason == ConnectionLost
	if e.Host != HostUnknown || e.HostProbe != "" {
		a.probed = &modelProbe{agent: a, settled: true, host: e.Host, how: e.HostProbe, found: e.HostProbedAt}
	}
}

// restoreHeld restores what an alert is held for: an outage, flapping, or the chance that
// the agent has come back.
func (m *model) restoreHeld(c *modelChange, r *Restored) {
	held := r.AlertHeld && m.isStillAway(c) && !m.isCurrentOutage(c.outage)
	switch {
	case r.Flapping && m.set.FlapThreshold > 0:
		c.agent.flapping, c.agent.history = true, []Instant{max(r.Since, Instant(m.set.Interval-m.set.FlapWindow))}
		if held {
			c.agent.flapAlert = c
		}
	case held:
		c.waits = true
		m.queue = append(m.queue, c)
	}
	if r.Outage && c.outage == nil && m.isStillAway(c) {
		c.outage = &modelOutage{} // an earlier one
	}
}

// restorePart makes an agent a member of an outage if a change of it in the time
// of the outage is marked so, or if it is lost since one of the times from which an
// outage was detected.
func (m *model) restorePart(o *modelOutage, c *modelChange, r *Restored, last *Outage) {
	const second = Instant(time.Second)
	span := Instant(m.set.Interval) + second
	during := r.Since >= last.Since-second
	cause := during && r.Since <= last.Since+span
	if last.Ended == 0 {
		cause = during && r.Since <= last.ReportedAt+second && (cause || r.Since >= last.ReportedAt-span)
	}
	away := m.isStillLost(c) && during && (r.Outage || cause && !r.Silenced)
	if last.Ended != 0 && !away || !during || !away && r.Part == NoPart {
		return
	}
	first := map[Part]*modelChange{ConnectionClosed: {why: ConnectionLost}, FellSilent: {why: KeepAliveTimeout}}[r.Part]
	if !away {
		c = &modelChange{agent: c.agent}
	} else {
		c.outage = o
		o.away[c] = true
	}
	c.first = first
	o.of[c.agent] = c
	o.members = append(o.members, c)
}
