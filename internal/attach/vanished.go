package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

const (
	// removalHold and removalReadings are for how long, and over how many readings at
	// least, agents are still watched that vanished from the table together.
	removalHold     = time.Minute
	removalReadings = 3
	// heldPeriod is the time between two readings of all agents meanwhile.
	heldPeriod = 10 * time.Second
)

// heldAgent is one that is not in the table any more, and is still watched.
type heldAgent struct {
	since    time.Time
	readings int // in which it was missing
}

// holdVanishedRows returns the rows of a reading with those of agents that vanished from the
// table together. That may be a mistake: an emptied table, or one that a restore has
// only begun to fill.
func (t *tracker) holdVanishedRows(rows []wazuhdb.Row, others []detector.AgentID) []wazuhdb.Row {
	there := make(map[detector.AgentID]bool, len(rows)+len(others))
	for i := range rows {
		there[detector.AgentID(rows[i].ID)] = true
	}
	for _, id := range others {
		there[id] = true
	}
	var lost []detector.AgentID
	for id := range t.known {
		if !there[id] {
			lost = append(lost, id)
		}
	}
	if now := time.Now(); !t.removed.Doubtful(len(lost), len(t.known), false, now) {
		t.removed.Record(len(lost), now)
		lost = nil
	}
	held := make(map[detector.AgentID]heldAgent, len(lost))
	until := time.Time{}
	for _, id := range lost {
		h, ok := t.held[id]
		if !ok {
			h.since = time.Now()
		}
		h.readings++
		end := h.since.Add(t.holdTime)
		if h.readings > removalReadings && !time.Now().Before(end) {
			continue
		}
		held[id] = h
		rows = append(rows, t.knownRow(id))
		if until.IsZero() || end.Before(until) {
			until = end
		}
	}
	t.held = held
	t.vanished.Store(&Vanished{Held: len(held), Until: until, Agents: len(rows)})
	return rows
}

func (t *tracker) isHeld(id detector.AgentID) bool { _, ok := t.held[id]; return ok }

// nextInventoryPeriod returns the time between two readings of all agents, if nothing calls
// for one before.
func (t *tracker) nextInventoryPeriod() time.Duration {
	if len(t.held) > 0 {
		return min(heldPeriod, t.holdTime/removalReadings)
	}
	return inventoryPeriod
}

// Vanished is how many agents are watched, and of these, how many vanished from the
// manager's table together.
type Vanished struct {
	Agents int
	Held   int
	Until  time.Time // when the first of them is removed, unless it is back
}

// Vanished returns that of the last reading. It may be called concurrently.
func (l *Link) Vanished() Vanished {
	if v := l.tracker.vanished.Load(); v != nil {
		return *v
	}
	return Vanished{}
}
