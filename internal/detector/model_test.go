package detector

import (
	"cmp"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// model is the detector again, slow and obvious: no lazy deadlines, no flags,
// no running counts. Every agent keeps plain optional facts and whole histories, and
// at each step all that follows from them is worked out afresh.
type model struct {
	set     Settings
	agents  map[AgentID]*modelAgent
	slots   []*modelAgent // nil where free
	free    []int
	resumed Instant
	lull    time.Duration

	said   []Decision
	round  []*modelChange
	losses []*modelChange // all of the last interval and those that something still waits for
	outage *modelOutage
	over   *modelOutage // the last, while its hold runs
}

type modelAgent struct {
	id      AgentID
	slot    int
	name    string
	listed  string     // its address in the inventory
	addr    netip.Addr // where it was seen
	status  Status
	reason  Reason
	greeted bool

	life     *Instant // last sign of life
	rhythm   rhythm
	beating  bool
	turnFrom Instant  // its next turn is the first one after this
	gone     *Instant // when its connection closed
	probe    *Instant // when the keep-alive that awaits an answer was sent
	suspect  bool
	pace     time.Duration // how long that answer may take
	lastSent *Instant      // the last keep-alive since it came back
	token    uint32
	missed   int

	changes   []*modelChange
	history   []Instant // for flapping
	flapping  bool
	flapAlert *modelChange
}

// modelChange is one change of an agent's status.
type modelChange struct {
	agent    *modelAgent
	from, to Status
	why      Reason
	at, told Instant
	out      int  // its decision
	outage   bool // part of one
	waits    bool // its alert, to see whether an outage comes
	left     bool // it was a return from an outage
}

type modelOutage struct {
	began, since Instant
	watched      int
	members      []*modelChange
	removed      int
	end          Instant // of the hold
}

func newModel(set Settings) *model {
	return &model{set: set, agents: map[AgentID]*modelAgent{}}
}

func (a *modelAgent) watched() bool { return a.status == Active || a.status == Pending }

func (m *model) group(a *modelAgent) (Group, int) {
	if m.set.GroupOf != nil {
		if n := m.set.GroupOf(a.id, a.name, a.addr); n > 0 {
			return m.set.Groups[n-1], n
		}
	}
	return m.set.Group, 0
}

func (m *model) say(a *modelAgent, d Decision) *Decision {
	d.ID, d.Name, d.IP = a.id, a.name, a.listed
	_, d.Group = m.group(a)
	if a.addr.IsValid() {
		d.IP = a.addr.String()
	}
	m.said = append(m.said, d)
	return &m.said[len(m.said)-1]
}

func (m *model) become(a *modelAgent, to Status, why Reason, at Instant) {
	c := &modelChange{agent: a, from: a.status, to: to, why: why, at: at, out: len(m.said)}
	if last := a.lastChange(); last != nil && last.outage && a.status == Disconnected {
		c.left = m.outage.has(last) || m.over.has(last)
	}
	m.sayChange(Changed, c)
	a.status, a.reason = to, why
	a.changes = append(a.changes, c)
	m.round = append(m.round, c)
	if to == Active {
		a.greeted = true
	}
	if to == Disconnected {
		a.gone, a.probe, a.lastSent, a.suspect, a.beating = nil, nil, nil, false, false
	}
}

func (m *model) sayChange(v Verdict, c *modelChange) {
	d := m.say(c.agent, Decision{Verdict: v, At: c.at, From: c.from, To: c.to, Reason: c.why, Missed: c.agent.missed})
	if c.agent.life != nil {
		d.LastSeen, d.Seen = *c.agent.life, true
	}
}

func (a *modelAgent) lastChange() *modelChange {
	if len(a.changes) == 0 {
		return nil
	}
	return a.changes[len(a.changes)-1]
}

// turn is the first turn of the agent's slot after turnFrom, found by counting up.
func (m *model) turn(a *modelAgent) Instant {
	group, _ := m.group(a)
	frac := new(big.Int).Mul(big.NewInt(int64(a.slot)), new(big.Int).SetUint64(0x9E3779B97F4A7C15))
	frac.Mod(frac, new(big.Int).Lsh(big.NewInt(1), 64))
	phase := new(big.Int).Rsh(new(big.Int).Mul(frac, big.NewInt(int64(group.Interval))), 64).Int64()
	k := (int64(a.turnFrom) - phase) / int64(group.Interval)
	at := Instant(phase + (k-1)*int64(group.Interval))
	for at <= a.turnFrom {
		at = at.Add(group.Interval)
	}
	return at
}

// spared is until when an agent is not given up.
func (m *model) spared(a *modelAgent) Instant {
	group, _ := m.group(a)
	return m.resumed.Add(min(m.lull, group.Timeout))
}

// advance decides all that is due by now for one agent.
func (m *model) advance(a *modelAgent, now Instant) {
	m.steady(a, now)
	for a.watched() {
		type deadline struct {
			at Instant
			do func(at Instant)
		}
		group, _ := m.group(a)
		all := []deadline{{max(a.life.Add(group.Timeout), m.spared(a)), func(at Instant) { m.become(a, Disconnected, KeepAliveTimeout, at) }}}
		switch {
		case a.gone != nil:
			all = append(all, deadline{max(a.gone.Add(m.set.ReconnectGrace), m.spared(a)),
				func(at Instant) { m.become(a, Disconnected, ConnectionLost, at) }})
		case a.probe != nil:
			all = append(all, deadline{a.probe.Add(a.pace), func(at Instant) { m.miss(a, at, now) }})
		default:
			all = append(all, deadline{m.turn(a), func(at Instant) {
				if m.set.Method != Request && a.lastSent != nil && *a.life <= *a.lastSent {
					m.miss(a, at, now)
				} else {
					m.send(a, now)
				}
			}})
		}
		if habit, ok := a.rhythm.patience(); ok && m.set.SuspectTimeout > 0 && m.set.Method == Request && a.gone == nil && !a.suspect {
			all = append(all, deadline{a.life.Add(habit), func(Instant) {
				a.suspect = true
				m.send(a, now)
			}})
		}
		first := all[0]
		for _, d := range all[1:] {
			if d.at < first.at {
				first = d
			}
		}
		if first.at > now {
			return
		}
		first.do(first.at)
	}
}

func (m *model) miss(a *modelAgent, at, now Instant) {
	group, _ := m.group(a)
	a.missed++
	m.say(a, Decision{Verdict: Failed, At: at, Missed: a.missed})
	if a.missed >= group.MaxMissed && at >= m.spared(a) {
		m.become(a, Disconnected, MissedKeepAlives, at)
		return
	}
	m.send(a, now)
}

func (m *model) send(a *modelAgent, now Instant) {
	group, _ := m.group(a)
	a.token++
	a.lastSent, a.turnFrom = &now, now
	if m.set.Method == Request {
		a.probe, a.pace = &now, m.set.RetryInterval
		if a.suspect {
			a.pace = m.set.SuspectTimeout
		}
	}
	m.say(a, Decision{Verdict: Send, At: now, Token: a.token, Interval: group.Interval})
}

func (m *model) sweep(now Instant) {
	for _, a := range m.slots {
		if a != nil {
			m.advance(a, now)
		}
	}
	m.judge(now)
}

func (m *model) apply(s Sighting) {
	if a := m.agents[s.ID]; a != nil {
		m.advance(a, s.At)
		m.see(a, s)
	}
	m.judge(s.At)
}

func (m *model) see(a *modelAgent, s Sighting) {
	watched := a.watched()
	if s.Kind == SawClosed {
		if watched {
			a.gone, a.probe, a.lastSent, a.suspect, a.beating = &s.At, nil, nil, false, false
			m.advance(a, s.At)
		}
		return
	}
	expected := s.At < m.spared(a)
	a.life, a.missed = &s.At, 0
	if s.Addr != (netip.Addr{}) {
		_, before := m.group(a)
		a.addr = s.Addr
		if _, after := m.group(a); after != before && watched && a.probe == nil && a.gone == nil {
			a.turnFrom = s.At
		}
	}
	if a.gone != nil {
		a.gone, a.turnFrom = nil, s.At
	}
	if a.suspect {
		a.suspect, a.pace = false, m.set.RetryInterval
	}
	back := func() { // keep-alives begin anew
		a.turnFrom, a.probe, a.lastSent = s.At, nil, nil
	}
	if s.Kind == SawStartup {
		a.beating = false
	}
	if s.Kind == SawKeepAlive {
		a.rhythm.beat(s.At, !a.beating)
		a.beating = true
	}
	switch {
	case s.Kind == SawStartup && a.status != Pending && !(expected && a.status == Active):
		m.become(a, Pending, Startup, s.At)
		back()
	case s.Kind == SawShutdown && a.status != Disconnected:
		m.become(a, Disconnected, AgentShutdown, s.At)
	case s.Kind == SawKeepAlive && a.status != Active,
		(s.Kind == SawEvent || s.Kind == SawAnswer) && a.status == Disconnected &&
			(a.reason == KeepAliveTimeout || a.reason == MissedKeepAlives):
		why := Connected
		if a.greeted {
			why = Reconnected
		}
		m.become(a, Active, why, s.At)
		if !watched {
			back()
		}
	}
	if s.Kind == SawAnswer && a.probe != nil && s.Token == a.token {
		m.say(a, Decision{Verdict: Acknowledged, At: s.At, Token: a.token, RTT: time.Duration(s.At - *a.probe)})
		a.probe, a.turnFrom = nil, s.At
	}
}

func (m *model) resume(now Instant, lull time.Duration) {
	if rest := m.lull - now.Sub(m.resumed); rest > lull {
		m.resumed, m.lull = now, rest
	} else {
		m.resumed, m.lull = now, lull
	}
	m.said = append(m.said, Decision{Verdict: Resumed, At: now, Lull: lull})
}

func (m *model) members(list []Member, now Instant) {
	want := map[AgentID]Member{}
	for _, w := range list {
		want[w.ID] = w
	}
	for slot, a := range m.slots {
		if a == nil {
			continue
		}
		if w, ok := want[a.id]; !ok || w.Name != a.name {
			m.become(a, Disconnected, AgentRemoved, now)
			delete(m.agents, a.id)
			m.slots[slot] = nil
			m.free = append(m.free, slot)
		}
	}
	for _, w := range list {
		if a := m.agents[w.ID]; a != nil {
			a.listed = w.IP
			continue
		}
		slot := len(m.slots)
		if n := len(m.free); n > 0 {
			slot, m.free = m.free[n-1], m.free[:n-1]
		} else {
			m.slots = append(m.slots, nil)
		}
		a := &modelAgent{id: w.ID, slot: slot, name: w.Name, listed: w.IP, status: NeverConnected}
		m.slots[slot], m.agents[w.ID] = a, a
	}
	m.judge(now)
}

// stands reports whether a loss is its agent's present state.
func (m *model) stands(c *modelChange) bool { return c.isLoss() && c.agent.lastChange() == c }

func (c *modelChange) isLoss() bool {
	return c.why == KeepAliveTimeout || c.why == MissedKeepAlives || c.why == ConnectionLost
}

func (o *modelOutage) has(c *modelChange) bool { return o != nil && slices.Contains(o.members, c) }

// held reports whether the alert of a loss is held, for any cause.
func (m *model) held(c *modelChange) bool {
	return m.outage.has(c) || m.over.has(c) || c.waits || c.agent.flapAlert == c
}

func (m *model) judge(now Instant) {
	if m.set.OutageShare > 0 {
		m.judgeOutage(now)
	}
	for _, c := range m.round {
		m.judgeFlap(c)
	}
	m.round = nil
}

func (m *model) judgeOutage(now Instant) {
	var fresh []*modelChange
	for _, c := range m.round {
		if c.why == AgentRemoved && c.left && m.outage != nil {
			m.outage.removed++
		}
		if m.stands(c) {
			c.told = now
			fresh = append(fresh, c)
		}
	}
	m.losses = append(m.losses, fresh...)
	lastInterval, away, watching, trouble := 0, 0, 0, 0
	for _, c := range m.losses {
		if now.Sub(c.told) < m.set.Interval {
			lastInterval++
			if m.stands(c) {
				away++
			}
		}
	}
	for _, a := range m.agents {
		if a.watched() {
			watching++
			if a.missed > 0 || a.suspect || a.gone != nil {
				trouble++
			}
		}
	}
	least := max(outageFewest, int(math.Ceil(m.set.OutageShare*float64(watching+away))))
	switch {
	case m.outage == nil && away >= least:
		m.endHold()
		m.outage = &modelOutage{began: now, since: now, watched: watching + away}
		for _, c := range m.losses {
			if now.Sub(c.told) < m.set.Interval && m.stands(c) {
				m.outage.join(c)
			}
		}
		for _, c := range m.losses {
			c.waits = false
		}
		m.tell(OutageBegan, m.outage, now)
	case m.outage != nil && lastInterval >= outageFewest:
		for _, c := range fresh {
			m.outage.join(c)
		}
	case m.outage == nil && away+trouble >= least:
		for _, c := range fresh {
			c.waits = true
		}
	}
	for _, c := range fresh {
		d := &m.said[c.out]
		d.Outage, d.AlertHeld = c.outage, c.outage || c.waits
	}
	if o := m.outage; o != nil && 2*m.away(o) < len(o.members)-o.removed {
		m.tell(OutageEnded, o, now)
		o.end = now.Add(m.set.OutageHold)
		m.outage, m.over = nil, o
	}
	for _, c := range m.losses {
		if c.waits && now.Sub(c.told) >= m.set.Interval {
			c.waits = false
			m.release(c)
		}
	}
	if m.over != nil && m.over.end <= now {
		m.endHold()
	}
	m.losses = slices.DeleteFunc(m.losses, func(c *modelChange) bool { return now.Sub(c.told) >= m.set.Interval })
}

func (m *model) away(o *modelOutage) (n int) {
	for _, c := range o.members {
		if m.stands(c) {
			n++
		}
	}
	return n
}

func (o *modelOutage) join(c *modelChange) {
	c.outage, c.waits = true, false
	o.since = min(o.since, c.at)
	o.members = append(o.members, c)
}

func (m *model) endHold() {
	if o := m.over; o != nil {
		m.over = nil
		for _, c := range o.members {
			m.release(c)
		}
	}
}

func (m *model) release(c *modelChange) {
	if m.stands(c) && !m.held(c) {
		m.sayChange(Overdue, c)
	}
}

func (m *model) tell(v Verdict, o *modelOutage, now Instant) {
	f := &Fleet{Since: o.since, Watched: o.watched, Lost: len(o.members) - o.removed, Networks: []Network{}}
	f.Back = f.Lost - m.away(o)
	lost := map[netip.Prefix]int{}
	for _, c := range o.members {
		if c.why == ConnectionLost {
			f.Closed++
		} else {
			f.Silent++
		}
		if addr := c.agent.addr; m.stands(c) && addr.IsValid() {
			prefix, _ := addr.Prefix(map[bool]int{true: 24, false: 64}[addr.Is4()])
			lost[prefix]++
		}
	}
	for prefix, n := range lost {
		f.Networks = append(f.Networks, Network{prefix, n})
	}
	slices.SortFunc(f.Networks, func(a, b Network) int {
		return cmp.Or(b.Lost-a.Lost, a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	f.Networks = f.Networks[:min(len(f.Networks), maxNetworks)]
	m.said = append(m.said, Decision{Verdict: v, At: now, Fleet: f})
}

func (m *model) judgeFlap(c *modelChange) {
	a := c.agent
	if m.set.FlapThreshold == 0 || c.outage || c.left || c.why == AgentRemoved {
		return
	}
	if len(a.history) == 0 && c.to != Disconnected {
		return
	}
	a.history = append(a.history, c.at)
	n := 0
	for _, at := range a.history {
		if at > c.at.Add(-m.set.FlapWindow) {
			n++
		}
	}
	began := !a.flapping && n > m.set.FlapThreshold
	if began {
		a.flapping = true
	}
	if !a.flapping {
		return
	}
	a.flapAlert = nil
	if m.stands(c) {
		a.flapAlert = c
		m.said[c.out].AlertHeld = true
	}
	if began {
		m.say(a, Decision{Verdict: Flapping, At: c.at, Changes: n})
	}
}

// steady forgets the history of an agent that did not change for a window.
func (m *model) steady(a *modelAgent, now Instant) {
	if len(a.history) == 0 || a.history[len(a.history)-1].Add(m.set.FlapWindow) > now {
		return
	}
	c := a.flapAlert
	a.history, a.flapping, a.flapAlert = nil, false, nil
	if c != nil {
		m.release(c)
	}
}
