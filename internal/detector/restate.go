package detector

// Restate reports once more that an agent is active, as a change from disconnected: another
// node has published that it is lost. It does nothing if the agent is not active. It is
// ordered with Report; any goroutine may call it.
func (d *Detector) Restate(id AgentID) {
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.Restate(id, now) })
}

// Restate reports once more that an agent is active, as a change from disconnected.
func (t *Table) Restate(id AgentID, now Instant) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok || t.state[slot].status != Active {
		return
	}
	d := t.reportChange(Changed, slot)
	d.At, d.From, d.Reason = now, Disconnected, Reconnected
}
