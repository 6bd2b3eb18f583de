package detector

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

const (
	// ProbeWait is for how long a loss waits for its HostReport.
	ProbeWait = time.Second
	// maxProbes is how many hosts are probed within a probePeriod at most.
	maxProbes   = 50
	probePeriod = time.Second
	// sampleSize is how many hosts of a network are probed in an outage at most.
	sampleSize = 10
)

// hostProbe is the probe of the host of an agent that is lost, or whose loss waits for it.
type hostProbe struct {
	slot    int32
	id      AgentID
	token   uint32  // of its ProbeHost decision; 0 before that
	until   Instant // a report after that is ignored
	settled bool    // the report has come, or is awaited no more

	reason Reason  // of the loss that waits
	at     Instant // the same

	host  Host // as reported
	how   string
	found Instant
}

// hostProbes holds the probes of all agents.
type hostProbes struct {
	byAgent map[int32]*hostProbe
	waiting []*hostProbe // of losses that wait, and some that did; those without a decision are last
	unasked int          // of them, how many have no decision yet
	sample  []*hostProbe // of the outage that is about to be reported
	asked   []Instant    // when hosts were probed, within the last probePeriod
	now     Instant      // the latest instant
	token   uint32
}

// countProbesLeft returns how many hosts may be probed now.
func (p *hostProbes) countProbesLeft(now Instant) int {
	p.now = max(p.now, now)
	old := 0
	for old < len(p.asked) && p.now.Sub(p.asked[old]) >= probePeriod {
		old++
	}
	p.asked = append(p.asked[:0], p.asked[old:]...)
	return maxProbes - len(p.asked)
}

// canProbeHost reports whether the agent's host may be probed: it is known where it is, and
// that no other agent is there.
func (t *Table) canProbeHost(slot int32) bool {
	kind := t.state[slot].addrKind
	return t.set.HostProbe && (kind == addrV4 || kind == addrV6) && t.addresses.isUnique(t.addrOf(slot))
}

// loseAgent gives an agent up, as soon as its host is probed if that is possible.
func (t *Table) loseAgent(slot int32, reason Reason, at, now Instant) {
	if t.state[slot].has(elsewhere) {
		t.moveAway(slot, at)
		return
	}
	spreading := t.outage.ongoing && !t.outage.settled
	if spreading || !t.canProbeHost(slot) || t.probes.countProbesLeft(now) <= t.probes.unasked {
		t.giveUpAgent(slot, reason, at)
		return
	}
	s := &t.state[slot]
	s.flags |= losing
	t.setUnresponsive(s)
	p := t.addHostProbe(slot, now)
	p.reason, p.at = reason, at
	t.probes.waiting = append(t.probes.waiting, p)
	t.probes.unasked++
}

func (t *Table) giveUpAgent(slot int32, reason Reason, at Instant) {
	s := &t.state[slot]
	s.flags &^= losing
	if s.has(closed) {
		s.flags |= lostClosed
	}
	t.setStatus(slot, Disconnected, reason, at)
	t.stopKeepAlives(slot)
}

func (t *Table) addHostProbe(slot int32, now Instant) *hostProbe {
	s := &t.state[slot]
	s.flags |= hasHostProbe
	p := &hostProbe{slot: slot, id: s.id, until: now.Add(ProbeWait)}
	t.probes.byAgent[slot] = p
	return p
}

// forgetHostProbe drops an agent's probe. A report that comes yet is ignored.
func (t *Table) forgetHostProbe(slot int32) {
	s := &t.state[slot]
	if !s.has(hasHostProbe) {
		return
	}
	p := t.probes.byAgent[slot]
	if s.has(losing) && p.token == 0 {
		t.probes.unasked--
	}
	p.settled = true
	delete(t.probes.byAgent, slot)
	s.flags &^= hasHostProbe | losing
}

// cancelLoss cancels a loss that waits: the agent is there.
func (t *Table) cancelLoss(slot int32, at Instant) {
	t.forgetHostProbe(slot)
	t.scheduleKeepAlive(slot, at)
}

// loseWaitingAgent gives an agent up whose loss has waited long enough.
func (t *Table) loseWaitingAgent(slot int32, now Instant) {
	p := t.probes.byAgent[slot]
	if now < p.until {
		return
	}
	t.forgetHostProbe(slot)
	t.giveUpAgent(slot, p.reason, p.at)
}

// askWaitingHosts has the hosts probed for which losses wait.
func (t *Table) askWaitingHosts(now Instant) {
	all := &t.probes
	if len(all.waiting) == 0 {
		return
	}
	all.waiting = slices.DeleteFunc(all.waiting, func(p *hostProbe) bool {
		return p.settled || !t.state[p.slot].has(losing)
	})
	for _, p := range all.waiting {
		if p.token == 0 {
			all.unasked--
			t.askHost(p, now)
		}
	}
}

func (t *Table) askHost(p *hostProbe, now Instant) {
	all := &t.probes
	all.now = max(all.now, now)
	all.token++
	p.token = all.token
	all.asked = append(all.asked, all.now)
	d := t.addDecision(ProbeHost, now, p.slot)
	d.Token, d.Addr = p.token, t.addrOf(p.slot)
}

// ReportHost reports the result of a probe. Any goroutine may call it. A report that no
// decision asked for, or that is late, changes nothing.
func (d *Detector) ReportHost(r HostReport) {
	d.inbox.addCall(r.At, true, func(t *Table, now Instant) {
		r.At = min(r.At, now)
		t.ReportHost(r)
	})
}

// ReportHost applies the result of a probe, for which a loss may wait.
func (t *Table) ReportHost(r HostReport) {
	slot, ok := t.slots.findAgentSlot(r.ID)
	if !ok || !t.state[slot].has(hasHostProbe) {
		return
	}
	p := t.probes.byAgent[slot]
	if p.settled || p.token == 0 || p.token != r.Token || r.At >= p.until {
		return
	}
	p.settled, p.host, p.how, p.found = true, r.Host, r.Probe, r.At
	if t.state[slot].has(losing) {
		t.giveUpAgent(slot, p.reason, p.at)
	} else {
		t.outage.countHostReport(&t.state[slot], p)
	}
	t.evaluateFleetChanges(r.At)
}

// giveUpWaiting gives up the agents whose losses wait, since an outage begins. A report
// about one that was probed already still counts in it.
func (t *Table) giveUpWaiting() {
	for _, p := range t.probes.waiting {
		if p.settled || !t.state[p.slot].has(losing) {
			continue
		}
		if p.token == 0 {
			t.forgetHostProbe(p.slot)
		}
		t.giveUpAgent(p.slot, p.reason, p.at)
	}
}

// countWaitingLosses returns how many losses wait that would count in an outage.
func (t *Table) countWaitingLosses() (n int) {
	for _, p := range t.probes.waiting {
		if s := &t.state[p.slot]; !p.settled && s.has(losing) && !s.has(silenced) {
			n++
		}
	}
	return n
}

// countHostReport counts the report about the host of a member.
func (o *outage) countHostReport(s *state, p *hostProbe) {
	if !o.ongoing || !s.has(awayInOutage) || !p.settled || p.host == HostUnknown {
		return
	}
	o.report.HostsProbed++
	if p.host == HostAnswers {
		o.report.HostsAnswered++
	}
}

// addMemberProbe adds the probe of a member's host to the sample, if there was one.
func (t *Table) addMemberProbe(l *loss) {
	s := &t.state[l.slot]
	if !s.has(hasHostProbe) {
		return
	}
	p := t.probes.byAgent[l.slot]
	t.outage.countHostReport(s, p)
	if !p.settled {
		t.probes.sample = append(t.probes.sample, p)
	}
}

// askSample has hosts of the outage's members probed: few in each network, from as many
// networks as possible.
func (t *Table) askSample(now Instant) {
	type candidate struct {
		slot int32
		rank int // in its network
	}
	o, left := &t.outage, t.probes.countProbesLeft(now)-t.probes.unasked
	if !t.set.HostProbe || left <= 0 {
		return
	}
	probed := make(map[netip.Prefix]int)
	for _, p := range t.probes.byAgent {
		if t.state[p.slot].has(awayInOutage) {
			probed[networkOf(t.addrOf(p.slot))]++
		}
	}
	var list []candidate
	for i := 0; i < len(o.members) && len(list) < maxProbes*sampleSize; i++ {
		l := &o.members[i]
		if s := &t.state[l.slot]; !t.isStillLost(l) || s.has(hasHostProbe) || !t.canProbeHost(l.slot) {
			continue
		}
		network := networkOf(t.addrOf(l.slot))
		if probed[network] < sampleSize {
			list = append(list, candidate{l.slot, probed[network]})
			probed[network]++
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	for _, c := range list[:min(len(list), left)] {
		p := t.addHostProbe(c.slot, now)
		t.askHost(p, now)
		t.probes.sample = append(t.probes.sample, p)
	}
}

// isSampleDone reports whether the reports of the sample have come, or are awaited no more.
func (p *hostProbes) isSampleDone() bool {
	return !slices.ContainsFunc(p.sample, func(p *hostProbe) bool { return !p.settled })
}

// endSample drops the probes of the sample whose reports have not come.
func (t *Table) endSample() {
	for _, p := range t.probes.sample {
		if !p.settled {
			t.forgetHostProbe(p.slot)
		}
	}
	t.probes.sample = nil
}
