package detector

import "time"

// A link that may have only so many requests out cannot ask a fleet that falls
// silent at once: those that it asks take its places until their time is over.
// The others are known to be late beyond their habit and no more. They are given
// up without being asked when the fleet is silent: those that are lost or do not
// answer are enough for an outage, and of the suspected agents whose fate was
// decided within the last span, nearly all were asked in vain.

const (
	// fewestInVain is how many agents have to be asked in vain at least.
	fewestInVain = 4
	// inVainPerRelief is how many of them there have to be for each suspected
	// agent that showed a sign of life.
	inVainPerRelief = 4
)

// relief is a sign of life of a suspected agent.
type relief struct {
	slot int32
	id   AgentID
	at   Instant
}

// recordRelief records that a suspected agent has shown a sign of life. One
// agent has one record, however often it is suspected.
func (t *Table) recordRelief(slot int32, at Instant) {
	t.forgetReliefs(at)
	if s := &t.state[slot]; !s.has(eased) {
		s.flags |= eased
		t.reliefs = append(t.reliefs, relief{slot, s.id, at})
	}
}

func (t *Table) forgetReliefs(now Instant) {
	old := 0
	for old < len(t.reliefs) && now.Sub(t.reliefs[old].at) >= t.span {
		if r := &t.reliefs[old]; t.state[r.slot].id == r.id {
			t.state[r.slot].flags &^= eased
		}
		old++
	}
	if old > 0 {
		t.reliefs = append(t.reliefs[:0], t.reliefs[old:]...)
	}
}

// isSilent reports whether the fleet is.
func (t *Table) isSilent(now Instant) bool {
	o := &t.fleet
	if o.inVain < fewestInVain || o.away+t.troubled < t.leastOutage() {
		return false
	}
	t.forgetReliefs(now)
	return o.inVain >= inVainPerRelief*len(t.reliefs)
}

// loseUnasked gives an agent up to which the link could not send a keep-alive,
// if the fleet is silent and as much time has passed since it was suspected as
// it would have had to answer. It reports whether it did.
func (t *Table) loseUnasked(slot int32, now Instant) bool {
	s := &t.state[slot]
	if !t.fleet.silent || !s.has(suspected) || now < t.indulgence(s) {
		return false
	}
	misses := t.groupOf(s).MaxMissed
	if now < t.suspectAt(s).Add(time.Duration(misses)*t.set.SuspectTimeout) {
		return false
	}
	s.missed = uint16(min(misses, mostMissed))
	t.lose(slot, KeepAliveTimeout, now)
	return true
}
