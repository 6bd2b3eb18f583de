package detector

import (
	"math/big"
	"net/netip"
	"time"
)

// model is the detector again, slow and obvious: no slots to sweep, no lazy
// deadlines, no flags. Every agent keeps plain optional facts, and at each step
// all deadlines that follow from them are listed afresh.
type model struct {
	set    Settings
	agents map[AgentID]*modelAgent
	slots  []AgentID // 0 where free
	free   []int
	said   map[AgentID][]Decision
}

type modelAgent struct {
	id       AgentID
	slot     int
	name, ip string
	located  bool // ip is where it was seen
	status   Status
	reason   Reason
	greeted  bool

	life     *Instant // last sign of life
	turnFrom Instant  // its next turn is the first one after this
	gone     *Instant // when its connection closed
	probe    *Instant // when the keep-alive that awaits an answer was sent
	lastSent *Instant // the last keep-alive since it came back
	token    uint32
	missed   int
}

func newModel(set Settings) *model {
	return &model{set: set, agents: map[AgentID]*modelAgent{}, said: map[AgentID][]Decision{}}
}

func (m *model) say(a *modelAgent, d Decision) {
	d.ID, d.Name, d.IP = a.id, a.name, a.ip
	m.said[a.id] = append(m.said[a.id], d)
}

func (m *model) become(a *modelAgent, to Status, why Reason, at Instant) {
	m.say(a, Decision{Verdict: Changed, At: at, From: a.status, To: to, Reason: why, Missed: a.missed})
	a.status, a.reason = to, why
	if to == Active {
		a.greeted = true
	}
	if to == Disconnected {
		a.gone, a.probe, a.lastSent = nil, nil, nil
	}
}

// turn is the first turn of the agent's slot after t, found by counting up.
func (m *model) turn(a *modelAgent) Instant {
	frac := new(big.Int).Mul(big.NewInt(int64(a.slot)), new(big.Int).SetUint64(0x9E3779B97F4A7C15))
	frac.Mod(frac, new(big.Int).Lsh(big.NewInt(1), 64))
	phase := new(big.Int).Rsh(new(big.Int).Mul(frac, big.NewInt(int64(m.set.Interval))), 64).Int64()
	k := (int64(a.turnFrom) - phase) / int64(m.set.Interval)
	at := Instant(phase + (k-1)*int64(m.set.Interval))
	for at <= a.turnFrom {
		at = at.Add(m.set.Interval)
	}
	return at
}

// advance decides all that is due by now for one agent.
func (m *model) advance(a *modelAgent, now Instant) {
	for a.status == Active || a.status == Pending {
		type deadline struct {
			at Instant
			do func(at Instant)
		}
		all := []deadline{{a.life.Add(m.set.Timeout), func(at Instant) { m.become(a, Disconnected, KeepAliveTimeout, at) }}}
		switch {
		case a.gone != nil:
			all = append(all, deadline{a.gone.Add(m.set.ReconnectGrace), func(at Instant) { m.become(a, Disconnected, ConnectionLost, at) }})
		case a.probe != nil:
			all = append(all, deadline{a.probe.Add(m.set.RetryInterval), func(at Instant) { m.miss(a, at, now) }})
		default:
			all = append(all, deadline{m.turn(a), func(at Instant) {
				if m.set.Method != Request && a.lastSent != nil && *a.life <= *a.lastSent {
					m.miss(a, at, now)
				} else {
					m.send(a, now)
				}
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
	a.missed++
	m.say(a, Decision{Verdict: Failed, At: at, Missed: a.missed})
	if a.missed >= m.set.MaxMissed {
		m.become(a, Disconnected, MissedKeepAlives, at)
		return
	}
	m.send(a, now)
}

func (m *model) send(a *modelAgent, now Instant) {
	a.token++
	a.lastSent, a.turnFrom = &now, now
	if m.set.Method == Request {
		a.probe = &now
	}
	m.say(a, Decision{Verdict: Send, At: now, Token: a.token, Interval: m.set.Interval})
}

func (m *model) sweep(now Instant) {
	for _, a := range m.agents {
		m.advance(a, now)
	}
}

func (m *model) see(s Sighting) {
	a := m.agents[s.ID]
	if a == nil {
		return
	}
	m.advance(a, s.At)
	watched := a.status == Active || a.status == Pending
	if s.Kind == SawClosed {
		if watched {
			a.gone, a.probe, a.lastSent = &s.At, nil, nil
			m.advance(a, s.At)
		}
		return
	}
	a.life, a.missed = &s.At, 0
	if s.Addr != (netip.Addr{}) {
		a.ip, a.located = s.Addr.String(), true
	}
	if a.gone != nil {
		a.gone, a.turnFrom = nil, s.At
	}
	back := func() { // keep-alives begin anew
		a.turnFrom, a.probe, a.lastSent = s.At, nil, nil
	}
	switch {
	case s.Kind == SawStartup && a.status != Pending:
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

func (m *model) members(list []Member, now Instant) {
	want := map[AgentID]Member{}
	for _, w := range list {
		want[w.ID] = w
	}
	for slot, id := range m.slots {
		if id == 0 {
			continue
		}
		a := m.agents[id]
		if w, ok := want[id]; !ok || w.Name != a.name {
			m.become(a, Disconnected, AgentRemoved, now)
			delete(m.agents, id)
			m.slots[slot] = 0
			m.free = append(m.free, slot)
		}
	}
	for _, w := range list {
		if a := m.agents[w.ID]; a != nil {
			if !a.located {
				a.ip = w.IP
			}
			continue
		}
		slot := len(m.slots)
		if n := len(m.free); n > 0 {
			slot, m.free = m.free[n-1], m.free[:n-1]
		} else {
			m.slots = append(m.slots, 0)
		}
		m.slots[slot] = w.ID
		m.agents[w.ID] = &modelAgent{id: w.ID, slot: slot, name: w.Name, ip: w.IP, status: NeverConnected}
	}
}
