package detector

import "unique"

// Info is what a manager knows of an agent, apart from its identity.
type Info struct {
	Groups            string // its Wazuh groups, in the manager's order, separated by commas
	OSName, OSVersion string
	Version           string // the agent's own
}

var noInfo = unique.Make(Info{})

// ReadInfo returns what a handle stands for. That of its zero value is empty.
func ReadInfo(h unique.Handle[Info]) (i Info) {
	if h != (unique.Handle[Info]{}) {
		i = h.Value()
	}
	return i
}

// SetInfo sets what is known of an agent. It is ordered with Report; any goroutine may
// call it.
func (d *Detector) SetInfo(id AgentID, info Info) {
	handle := unique.Make(info)
	d.inbox.addCall(d.clock.Now(), false, func(t *Table, now Instant) { t.setInfo(id, handle, now) })
}

// SetInfo sets what is known of an agent, by which its group is determined again.
func (t *Table) SetInfo(id AgentID, info Info, now Instant) { t.setInfo(id, unique.Make(info), now) }

func (t *Table) setInfo(id AgentID, info unique.Handle[Info], now Instant) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok || t.identities[slot].info == info {
		return
	}
	t.identities[slot].info = info
	t.updateAgentGroup(slot, now)
}
