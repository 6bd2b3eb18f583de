package detector

import (
	"slices"

	"pgregory.net/rapid"
)

// modelPlace is where an agent is, or was last, by what another node has claimed.
type modelPlace struct {
	node NodeNumber
	lost bool
	at   Instant
}

// isAway reports whether another node has the agent, and this one does not watch it.
func (a *modelAgent) isAway() bool { return a.place != nil && a.status == NeverConnected }

func (m *model) setPlace(a *modelAgent, p *modelPlace) {
	m.forgetPlace(a)
	if a.place = p; a.isAway() {
		m.counts[NeverConnected]--
	}
}

func (m *model) forgetPlace(a *modelAgent) {
	if a.isAway() {
		m.counts[NeverConnected]++
	}
	a.place = nil
}

// claimElsewhere takes up what another node has claimed.
func (m *model) claimElsewhere(a *modelAgent, s Sighting) {
	if s.Token == 0 {
		if a.isWatched() {
			a.place = nil
		}
		return
	}
	m.setPlace(a, &modelPlace{NodeNumber(s.Token), s.Kind == LostElsewhere, s.At})
	doubted := a.restored || a.gone != nil || a.suspect || a.missed > 0 || a.loss != nil
	if !a.isAway() && (!a.isWatched() || a.place.lost || doubted) {
		m.moveAway(a, s.At)
	}
}

// moveAway ends watching an agent, without a change that anybody is told.
func (m *model) moveAway(a *modelAgent, at Instant) {
	c := m.newChange(a, NeverConnected, NoReason, at)
	m.counts[a.status]--
	m.countQuiet(a, -1)
	a.from, a.since, a.status, a.reason = a.status, at, NeverConnected, NoReason
	a.loss, a.probed, a.restored, a.missed = nil, nil, false, 0
	a.gone, a.probe, a.lastSent, a.suspect, a.inSequence = nil, nil, nil, false, false
	a.share.withheld, a.share.step, a.share.exceeded = nil, nil, false
	m.addDecision(a, Decision{Verdict: MovedAway, At: at, From: c.from, To: NeverConnected, Node: a.place.node})
	a.changes = append(a.changes, c)
	m.batch = append(m.batch, c)
}

// arrive makes an agent one of this node that was another's.
func (m *model) arrive(a *modelAgent, to Status, why Reason, at Instant) {
	p := *a.place
	m.setStatus(a, to, why, at)
	d := &m.decisions[len(m.decisions)-1]
	a.wasActive = true
	if d.From, d.Node = Active, p.node; p.lost {
		d.From = Disconnected
	}
}

func (m *model) admit(w Member, now Instant) {
	if a := m.agents[w.ID]; a == nil || a.name != w.Name {
		if a != nil {
			m.remove(a.slot, now)
		}
		m.add(w)
		m.evaluateBatch(now)
	}
}

func (m *model) release(id AgentID, now Instant) {
	if a := m.agents[id]; a != nil {
		if !a.isAway() {
			m.setPlace(a, &modelPlace{})
		}
		if !a.isAway() {
			m.moveAway(a, now)
		}
		m.remove(a.slot, now)
		m.evaluateBatch(now)
	}
}

// claimBoth has another node claim an agent, or all of them, or none any more.
func claimBoth(t *rapid.T, table *Table, ref *model, now Instant) {
	s := Sighting{At: now, ID: drawID(t), Token: uint32(rapid.IntRange(0, 2).Draw(t, "node")),
		Kind: rapid.SampledFrom([]Kind{SawElsewhere, SawElsewhere, LostElsewhere}).Draw(t, "claim")}
	if rapid.IntRange(0, 3).Draw(t, "all") > 0 {
		applyToBoth(table, ref, s)
		return
	}
	for _, a := range slices.Clone(ref.slots) {
		if a != nil {
			s.ID = a.id
			applyToBoth(table, ref, s)
		}
	}
}

// replaceBoth admits or releases one agent.
func replaceBoth(t *rapid.T, table *Table, ref *model, now Instant) {
	id := drawID(t)
	if rapid.Bool().Draw(t, "released") {
		table.ReleaseMember(id, now)
		ref.release(id, now)
		return
	}
	m := Member{ID: id, Name: rapid.SampledFrom([]string{id.String(), "other"}).Draw(t, "name"), IP: "any"}
	table.AdmitMember(&m, now)
	ref.admit(m, now)
}
