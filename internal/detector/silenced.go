package detector

// Silenced is the beginning or the end of an agent's silence: of a time in which its
// alerts wait.
type Silenced struct {
	ID AgentID
	On bool
}

// SetSilenced applies changes of which agents are silenced. It is ordered with Report; any
// goroutine may call it.
func (d *Detector) SetSilenced(changes []Silenced) {
	d.inbox.addCall(d.clock.Now(), func(t *Table, now Instant) { t.SetSilenced(changes, now) })
}

// SetSilenced applies changes of which agents are silenced.
func (t *Table) SetSilenced([]Silenced, Instant) {}
