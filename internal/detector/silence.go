package detector

import "time"

// A link that limits its outstanding requests cannot probe a whole fleet that falls
// silent at once: the first requests fill the limit until they time out, and the other
// agents are only known to be later than expected. They are given up without a probe
// if the fleet is silent: the lost and the unresponsive are enough for an outage, and
// nearly all of the suspected agents that were decided within the last span did not answer.

const (
	// minUnanswered is how many agents at least must have left keep-alives unanswered.
	minUnanswered = 4
	// unansweredPerRelief is how many of them it takes for each suspected agent that
	// showed a sign of life.
	unansweredPerRelief = 4
)

// relief is a sign of life of a suspected agent.
type relief struct {
	slot int32
	id   AgentID
	at   Instant
}

// recordSuspicionRelief records that a suspected agent has shown a sign of life. One
// agent has one record, however often it is suspected.
func (t *Table) recordSuspicionRelief(slot int32, at Instant) {
	t.dropOldReliefs(at)
	if s := &t.state[slot]; !s.has(hasRelief) {
		s.flags |= hasRelief
		t.reliefs = append(t.reliefs, relief{slot, s.id, at})
	}
}

func (t *Table) dropOldReliefs(now Instant) {
	old := 0
	for old < len(t.reliefs) && now.Sub(t.reliefs[old].at) >= t.span {
		if r := &t.reliefs[old]; t.state[r.slot].id == r.id {
			t.state[r.slot].flags &^= hasRelief
		}
		old++
	}
	if old > 0 {
		t.reliefs = append(t.reliefs[:0], t.reliefs[old:]...)
	}
}

// isFleetSilent reports whether suspected agents are given up without a probe.
func (t *Table) isFleetSilent(now Instant) bool {
	o := &t.outage
	if o.recentUnanswered < minUnanswered || o.recentAway+t.unresponsive < t.outageThreshold() {
		return false
	}
	t.dropOldReliefs(now)
	return o.recentUnanswered >= unansweredPerRelief*len(t.reliefs)
}

// loseUnprobedAgent gives up an agent to which the link could not send a keep-alive, if the
// fleet is silent and the time to answer has passed since the agent was suspected. It
// reports whether it did.
func (t *Table) loseUnprobedAgent(slot int32, now Instant) bool {
	s := &t.state[slot]
	if !t.outage.fleetSilent || !s.has(suspected) || now < t.graceUntil(s) {
		return false
	}
	misses := t.groupOf(s).MaxMissed
	if now < t.suspectAt(s).Add(time.Duration(misses)*t.set.SuspectTimeout) {
		return false
	}
	s.missed = uint16(min(misses, maxMissedCount))
	t.giveUpAgent(slot, KeepAliveTimeout, now)
	return true
}
