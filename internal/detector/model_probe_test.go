package detector

import (
	"net/netip"
	"slices"
	"time"
)

// modelLoss is a loss that waits for the probe of the agent's host.
type modelLoss struct {
	why       Reason
	at, until Instant
}

// modelProbe is the probe of an agent's host.
type modelProbe struct {
	agent   *modelAgent
	token   uint32 // 0: it is not asked for yet
	until   Instant
	settled bool
	host    Host
	how     string
	found   Instant
}

// modelProbes holds what the model knows of probes: who waits, in order, and when each
// host was probed.
type modelProbes struct {
	waiting []*modelProbe
	asked   []Instant
	latest  Instant
	located map[netip.Addr]int // how many agents that are not dormant are at each address
	token   uint32
}

func (a *modelAgent) evidence(d *Decision) (e Evidence) {
	e.Closed = a.closed
	if d.Seen {
		e.SilentFor = max(0, d.At.Sub(d.LastSeen))
	}
	if p := a.probed; p != nil {
		e.Host, e.HostProbe, e.HostProbedAt = p.host, p.how, p.found
	}
	return e
}

// canProbe reports whether no other agent is where this one is, but for dormant ones.
func (m *model) canProbe(a *modelAgent) bool {
	if !m.set.HostProbe || !a.addr.IsValid() {
		return false
	}
	return m.located[a.addr] == 1
}

// locate records where an agent is, or that it is nowhere.
func (m *model) locate(a *modelAgent, addr netip.Addr) {
	if m.located == nil {
		m.located = map[netip.Addr]int{}
	}
	if !a.dormant {
		m.located[a.addr]--
		m.located[addr]++
	}
	a.addr = addr
}

func (m *model) setDormant(a *modelAgent, dormant bool) {
	switch {
	case dormant && !a.dormant && a.addr.IsValid():
		m.located[a.addr]--
	case !dormant && a.dormant && a.addr.IsValid():
		m.located[a.addr]++
	}
	a.dormant = dormant
}

// probesLeft returns how many hosts may be probed by the limit of so many a second.
func (m *model) probesLeft(now Instant) int {
	m.latest = max(m.latest, now)
	m.asked = slices.DeleteFunc(m.asked, func(at Instant) bool { return at <= m.latest.Add(-time.Second) })
	n := maxProbes
	for _, at := range m.asked {
		if at > m.latest.Add(-time.Second) {
			n--
		}
	}
	for _, p := range m.waiting {
		if p.isAwaited() && p.token == 0 {
			n--
		}
	}
	return n
}

func (m *model) lose(a *modelAgent, why Reason, at, now Instant) {
	if m.outage != nil && !m.outage.settled || !m.canProbe(a) || m.probesLeft(now) <= 0 {
		m.giveUp(a, why, at)
		return
	}
	a.loss = &modelLoss{why: why, at: at, until: now.Add(ProbeWait)}
	a.probed = &modelProbe{agent: a, until: a.loss.until}
	m.unresponsive[a] = true
	m.waiting = append(m.waiting, a.probed)
}

func (m *model) giveUp(a *modelAgent, why Reason, at Instant) {
	a.loss, a.closed = nil, a.gone != nil
	m.setStatus(a, Disconnected, why, at)
}

// isAwaited reports whether a loss waits for the probe.
func (p *modelProbe) isAwaited() bool { return p.agent.loss != nil && p.agent.probed == p }

// waitingLosses returns the agents whose losses wait: all, or those that would count in an
// outage.
func (m *model) waitingLosses(all bool) (list []*modelAgent) {
	for _, p := range m.waiting {
		if p.isAwaited() && (all || !m.silenced[p.agent.id]) {
			list = append(list, p.agent)
		}
	}
	return list
}

func (m *model) askWaiting(now Instant) {
	for _, p := range m.waiting {
		if p.isAwaited() && p.token == 0 {
			m.ask(p, now)
		}
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(p *modelProbe) bool { return !p.isAwaited() })
}

func (m *model) ask(p *modelProbe, now Instant) {
	m.latest = max(m.latest, now)
	m.asked = append(m.asked, m.latest)
	m.token++
	p.token = m.token
	m.addDecision(p.agent, Decision{Verdict: ProbeHost, At: now, Token: p.token, Addr: p.agent.addr})
}

func (m *model) reportHost(r HostReport) {
	a := m.agents[r.ID]
	if a == nil || a.probed == nil || a.probed.token == 0 {
		return
	}
	p := a.probed
	if p.settled || p.token != r.Token || r.At >= p.until {
		return
	}
	p.settled, p.host, p.how, p.found = true, r.Host, r.Probe, r.At
	if a.loss != nil {
		m.giveUp(a, a.loss.why, a.loss.at)
	} else if c := a.lastChange(); m.outage != nil && c.outage == m.outage && m.isStillLost(c) {
		m.outage.countReport(p)
	}
	m.evaluateBatch(r.At)
}

func (o *modelOutage) countReport(p *modelProbe) {
	if p.settled && p.host != HostUnknown {
		o.probed++
	}
	if p.settled && p.host == HostAnswers {
		o.answering++
	}
}

func modelNetwork(addr netip.Addr) netip.Prefix {
	network, _ := addr.Prefix(map[bool]int{true: 24, false: 64}[addr.Is4()])
	return network
}

// askSample asks for the hosts of members of the outage: the first of each network, then
// the second, and so on.
func (m *model) askSample(now Instant) {
	o, left := m.outage, m.probesLeft(now)
	if left <= 0 {
		return
	}
	probed := map[netip.Prefix]int{}
	for _, c := range o.members {
		if m.isStillLost(c) && c.agent.probed != nil {
			probed[modelNetwork(c.agent.addr)]++
		}
	}
	rounds := map[int][]*modelAgent{}
	n := 0
	for _, c := range o.members {
		if a := c.agent; m.isStillLost(c) && a.probed == nil && m.canProbe(a) && n < maxProbes*sampleSize {
			network := modelNetwork(a.addr)
			if round := probed[network]; round < 10 {
				rounds[round] = append(rounds[round], a)
				probed[network]++
				n++
			}
		}
	}
	for round := range 10 {
		for _, a := range rounds[round] {
			if left--; left >= 0 {
				a.probed = &modelProbe{agent: a, until: now.Add(ProbeWait)}
				m.ask(a.probed, now)
				o.sample = append(o.sample, a.probed)
			}
		}
	}
}

// reportBegan reports the beginning of the outage when the sample is done, or at the end
// of its time.
func (m *model) reportBegan(now Instant) {
	o := m.outage
	if o == nil || o.reportDue == nil {
		return
	}
	open := slices.ContainsFunc(o.sample, func(p *modelProbe) bool { return !p.settled && p.agent.probed == p })
	if *o.reportDue > now && open {
		return
	}
	for _, p := range o.sample {
		if !p.settled && p.agent.probed == p {
			p.agent.probed = nil
		}
	}
	o.sample, o.reportDue = nil, nil
	m.reportOutage(OutageBegan, o, o.reportAt)
}

// probeToken returns the number of the probe of the agent's host, 0 without one.
func (a *modelAgent) probeToken() uint32 {
	if a.probed == nil {
		return 0
	}
	return a.probed.token
}
