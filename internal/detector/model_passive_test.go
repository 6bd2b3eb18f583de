package detector

import (
	"time"

	"pgregory.net/rapid"
)

// modelPace is what the model knows of passive agents in common.
type modelPace struct {
	step, timeout time.Duration
	held          Instant // none is given up before
}

// modelPassive is what the model knows of one agent as a passive one.
type modelPassive struct {
	is        bool
	keptAlive *Instant // its last keep-alive since it is passive, and of the present pace
}

func (m *model) setPassivePace(step, timeout time.Duration, now Instant) {
	if step == m.pace.step && timeout == m.pace.timeout {
		return
	}
	if timeout < m.pace.timeout {
		m.holdPassive(now, timeout)
	}
	m.pace.step, m.pace.timeout = step, timeout
	for _, a := range m.slots {
		if a != nil && a.passive.is {
			m.forgetArrivals(a)
		}
	}
}

func (m *model) setPassive(id AgentID, is bool, now Instant) {
	a := m.agents[id]
	if a == nil || a.passive.is == is {
		return
	}
	a.passive.is = is
	a.probe, a.lastSent, a.suspect, a.inSequence = nil, nil, false, false
	delete(m.unresponsive, a)
	if a.isWatched() && a.loss == nil && !a.restored {
		a.turnFrom, a.missed = now, 0
		if is {
			a.gone = nil
		}
	}
	m.forgetArrivals(a)
}

func (m *model) holdPassive(now Instant, d time.Duration) {
	m.pace.held = max(m.pace.held, now.Add(d))
}

// forgetArrivals forgets when an agent's keep-alives came.
func (m *model) forgetArrivals(a *modelAgent) {
	a.arrivals, a.inSequence, a.passive.keptAlive = arrivalWindow{}, false, nil
	at, _ := m.nextDeadline(a)
	m.scheduleCheck(a, at)
}

// passiveGroup returns the group of a passive agent: it is sent nothing, and only a timeout
// that is longer than that of all agents is its group's.
func (m *model) passiveGroup(group Group) Group {
	timeout := m.pace.timeout
	if timeout == 0 {
		timeout = m.set.Timeout
	}
	if group.Timeout > m.set.Timeout && group.Timeout > timeout {
		timeout = group.Timeout
	}
	return Group{Timeout: timeout, MaxMissed: group.MaxMissed}
}

// silentUntil returns until when an agent may be silent, but for a grace.
func (m *model) silentUntil(a *modelAgent) Instant {
	group, _ := m.group(a)
	if !a.passive.is {
		return a.lastSeen.Add(group.Timeout)
	}
	patience := group.Timeout
	if gap := a.arrivals.expectedGap(); gap > 0 && gap+10*time.Second > patience {
		patience = min(gap+10*time.Second, 2*patience)
	}
	return max(a.lastSeen.Add(patience), m.pace.held)
}

// isGap reports whether the time before a keep-alive is one between two in sequence.
func (m *model) isGap(a *modelAgent, at Instant) bool {
	if !a.passive.is {
		return a.inSequence
	}
	before := a.passive.keptAlive
	a.passive.keptAlive = &at
	if before == nil || at < m.graceUntil(a) || at < m.pace.held {
		return false // it is the first, or some may have come that were not seen
	}
	group, _ := m.group(a)
	gap := time.Duration(instantToMilliseconds(at)-instantToMilliseconds(*before)) * time.Millisecond
	isEarlyLoss := a.status == Disconnected && a.reason.isSilence() && gap <= 2*group.Timeout
	return gap >= m.pace.step-2*time.Second && (a.inSequence || isEarlyLoss)
}

// makePassive makes some agents passive, or lets them be asked again, or changes what is known of
// the passive ones.
func makePassive(t *rapid.T, table *Table, ref *model, now Instant) Instant {
	switch rapid.IntRange(0, 7).Draw(t, "passive") {
	case 0:
		step := rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute}).Draw(t, "step")
		timeout := step + rapid.SampledFrom([]time.Duration{2 * time.Second, 20 * time.Second}).Draw(t, "beyond")
		table.SetPassivePace(step, timeout, now)
		ref.setPassivePace(step, timeout, now)
	case 1:
		hold := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "hold")
		table.HoldPassive(now, hold)
		ref.holdPassive(now, hold)
	case 2, 3, 4:
		first, is := drawID(t), rapid.Bool().Draw(t, "is")
		last := first + AgentID(rapid.SampledFrom([]int{0, 2, fleetSize}).Draw(t, "more"))
		for id := first; id <= last; id++ {
			table.SetPassive(id, is, now)
			ref.setPassive(id, is, now)
		}
	default: // keep-alives in steps, some of them late, and the sweeps between
		id := drawID(t)
		for range rapid.IntRange(2, 8).Draw(t, "steps seen") {
			applyToBoth(table, ref, Sighting{At: now, ID: id, Kind: SawKeepAlive})
			late := rapid.SampledFrom([]time.Duration{-3 * time.Second, 0, 0, 7 * time.Second, time.Minute}).Draw(t, "late")
			now = now.Add(max(0, ref.pace.step+late))
			table.Sweep(now)
			ref.runSweep(now)
		}
	}
	return now
}
