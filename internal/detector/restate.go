package detector

import "time"

// Restate reports once more that an agent is active, as a change from disconnected: others
// have published that it is lost. It does nothing if the agent is not active, or became so
// less than a time ago. It is ordered with Report; any goroutine may call it.
func (d *Detector) Restate(id AgentID, after time.Duration) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.restate(id, now, after) })
}

func (t *Table) restate(id AgentID, now Instant, after time.Duration) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok || t.state[slot].status != Active || now.Sub(t.identities[slot].since) < after {
		return
	}
	d := t.reportChange(Changed, slot)
	d.At, d.From, d.Reason = now, Disconnected, Reconnected
}
