package attach

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// A time in the database is that at which wazuh-db came to a message. After a stall it
// stamps keep-alives that waited meanwhile, of agents too that have died since. So an
// agent that was given up is back only when it has answered a request that was sent
// after that, or has shown two signs of life as far apart as keep-alives are: what
// waited comes all at once.

// minSignInterval is the time between two signs of life that are no burst after a stall: three
// quarters of that between the keep-alives of an agent with Wazuh's defaults.
const minSignInterval = 7500 * time.Millisecond

// absence is an agent that was seen to be gone. Its times are readings of the
// monotonic clock too, so that steps of the wall clock do not move them.
type absence struct {
	since         time.Time // signs of life before it prove nothing
	needsProof    bool      // it was given up, or said goodbye: it takes a proof to be back
	unconnectedAt time.Time // remoted had no connection to it then; zero if it was not asked

	firstSign  time.Time // when its first sign of life since was read; zero for none
	probed     bool      // a request was sent because of it
	lastSecond int64     // the time of its last sign

	refuted int64  // the time of the last sign after which remoted had no connection to it
	status  string // its status then
}

// absences are those of all agents. The tracker keeps them; they may be used
// concurrently, as a loss has to be known before the next answer or sign is handled,
// and the statusWriter reads them.
type absences struct {
	wall wallClock

	mu      sync.Mutex
	byAgent map[detector.AgentID]*absence
}

func newAbsences(wall wallClock) *absences {
	return &absences{wall: wall, byAgent: make(map[detector.AgentID]*absence)}
}

// beginAbsence notes that an agent was gone at a time. Signs of life that were read before
// that, and were not proved, prove nothing any more.
func (as *absences) beginAbsence(id detector.AgentID, at time.Time, gone bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.startAbsence(id, at)
	a.needsProof = a.needsProof || gone
}

func (as *absences) startAbsence(id detector.AgentID, at time.Time) *absence {
	a := as.byAgent[id]
	if a == nil {
		a = &absence{since: at}
		as.byAgent[id] = a
	}
	if at.After(a.since) {
		a.since = at
	}
	a.firstSign, a.probed = time.Time{}, false
	return a
}

// markUnconnected notes that remoted had no connection to an agent at a time: whatever sign
// of life was read before was none.
func (as *absences) markUnconnected(id detector.AgentID, at time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a := as.byAgent[id]; a != nil && !a.firstSign.IsZero() && !a.firstSign.After(at) {
		a.refuted = a.lastSecond
	}
	as.startAbsence(id, at).unconnectedAt = at
}

// isUnconnectedSince reports whether remoted had no connection to an agent after a sign of
// life in a second of the wall clock.
func (as *absences) isUnconnectedSince(id detector.AgentID, second int64) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byAgent[id]
	return a != nil && !a.unconnectedAt.IsZero() && (a.refuted == second || as.wall.second(a.unconnectedAt) > second)
}

// recordSign takes an agent's sign of life in a second, read now. It returns whether the agent
// is there, and whether to ask it.
func (as *absences) recordSign(id detector.AgentID, status string, second int64) (there, ask bool) {
	now := time.Now()
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byAgent[id]
	switch {
	case a == nil:
		return true, false
	case second < as.wall.second(a.since):
		return false, false
	case !a.needsProof || !a.firstSign.IsZero() && now.Sub(a.firstSign) >= minSignInterval:
		delete(as.byAgent, id)
		return true, true
	}
	if a.firstSign.IsZero() {
		a.firstSign = now
	}
	a.lastSecond, a.status, a.probed = second, status, true
	return false, true
}

// endByAnswer takes an agent's answer to a request that was sent at a time. It reports
// whether that proves that it is there, and returns its absence, if that is over by it.
func (as *absences) endByAnswer(id detector.AgentID, sent time.Time) (over *absence, proves bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byAgent[id]
	if a == nil {
		return nil, true
	}
	if sent.Before(a.since) {
		return nil, false
	}
	delete(as.byAgent, id)
	return a, true
}

// takeUnprobed returns the agents that have shown a sign of life and could not be asked.
func (as *absences) takeUnprobed() (ids []detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id, a := range as.byAgent {
		if !a.firstSign.IsZero() && !a.probed {
			a.probed = true
			ids = append(ids, id)
		}
	}
	return ids
}

// markUnprobed notes that an agent could not be asked.
func (as *absences) markUnprobed(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a := as.byAgent[id]; a != nil {
		a.probed = false
	}
}

// forgetAgent forgets an agent.
func (as *absences) forgetAgent(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	delete(as.byAgent, id)
}

// retainAgents forgets the agents that are not to be kept.
func (as *absences) retainAgents(stays func(detector.AgentID) bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id := range as.byAgent {
		if !stays(id) {
			delete(as.byAgent, id)
		}
	}
}
