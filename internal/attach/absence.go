package attach

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// A time in the database is that at which wazuh-db processed a message. After a stall it
// stamps keep-alives that waited meanwhile, also of agents that have died since. So an
// agent that was lost is back only when it has answered a request that was sent after
// that, or has shown two signs of life as far apart as keep-alives are: what waited
// comes all at once.

// minSignInterval is the least time between two signs of life that are no burst after a
// stall: three quarters of that between the keep-alives of an agent with Wazuh's
// defaults.
const minSignInterval = 7500 * time.Millisecond

// absence is that of an agent that was found to be gone. Its times have a reading of the
// monotonic clock, so that steps of the wall clock do not move them.
type absence struct {
	since         time.Time // signs of life before it prove nothing
	needsProof    bool      // it was lost or shut down: it takes a proof to be back
	unconnectedAt time.Time // remoted had no connection to it then; zero if that is unknown

	firstSign  time.Time // when its first sign of life since was read; zero for none
	probed     bool      // a request was sent because of it
	lastSecond int64     // the time of its last sign

	refuted int64  // the time of the last sign after which remoted had no connection to it
	status  string // its status then
}

// absences are those of all agents. They may be used concurrently: the tracker keeps
// them, OnDecision adds a loss before the next answer or sign of life is handled, and the
// statusWriter reads them.
type absences struct {
	wall wallClock

	mu      sync.Mutex
	byAgent map[detector.AgentID]*absence
}

func newAbsences(wall wallClock) *absences {
	return &absences{wall: wall, byAgent: make(map[detector.AgentID]*absence)}
}

// beginAbsence records that an agent was gone at a time. Signs of life before that prove
// nothing any more.
func (as *absences) beginAbsence(id detector.AgentID, at time.Time, needsProof bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.startAbsence(id, at)
	a.needsProof = a.needsProof || needsProof
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

// markAgentUnconnected records that remoted had no connection to an agent at a time: a sign
// of life that was read before was none.
func (as *absences) markAgentUnconnected(id detector.AgentID, at time.Time) {
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
	return a != nil && !a.unconnectedAt.IsZero() && (a.refuted == second || as.wall.unixSecondOf(a.unconnectedAt) > second)
}

// recordSignOfLife records an agent's sign of life in a second, read now. It returns whether
// the agent is there, and whether to probe it. If the sign is trusted, it is a proof.
func (as *absences) recordSignOfLife(id detector.AgentID, status string, second int64, trusted bool) (there, probe bool) {
	now := time.Now()
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byAgent[id]
	switch {
	case a == nil:
		return true, false
	case second < as.wall.unixSecondOf(a.since):
		return false, false
	case !a.needsProof || trusted || !a.firstSign.IsZero() && now.Sub(a.firstSign) >= minSignInterval:
		delete(as.byAgent, id)
		return true, true
	}
	if a.firstSign.IsZero() {
		a.firstSign = now
	}
	a.lastSecond, a.status, a.probed = second, status, true
	return false, true
}

// endByAnswer handles an agent's answer to a request that was sent at a time. It returns
// whether that proves that the agent is there, and its absence, if that ends by it.
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

// takeUnprobedAgents returns the agents that have shown a sign of life and could not be probed.
// They count as probed then.
func (as *absences) takeUnprobedAgents() (ids []detector.AgentID) {
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

// markAgentUnprobed records that an agent could not be probed.
func (as *absences) markAgentUnprobed(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a := as.byAgent[id]; a != nil {
		a.probed = false
	}
}

func (as *absences) forgetAgent(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	delete(as.byAgent, id)
}

// retainAgents deletes all agents but those that stay.
func (as *absences) retainAgents(stays func(detector.AgentID) bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id := range as.byAgent {
		if !stays(id) {
			delete(as.byAgent, id)
		}
	}
}

// wallClock returns the time of the wall clock, which the database's times are of. Times
// are kept with a reading of the monotonic clock and converted to the wall clock when
// they are compared with those of the database, so that a step of the wall clock, either
// way, hides nothing. Nil is the system's clock; tests have others.
type wallClock func() time.Time

func (c wallClock) currentTime() time.Time {
	if c == nil {
		return time.Now().Round(0)
	}
	return c()
}

// unixSecondOf returns the second of a time by the wall clock's present reading.
func (c wallClock) unixSecondOf(t time.Time) int64 { return c.currentTime().Add(-time.Since(t)).Unix() }

// ageOfSecond returns how long ago a second of the wall clock was; 0 for one that is to come.
func (c wallClock) ageOfSecond(second int64) time.Duration {
	return max(c.currentTime().Sub(time.Unix(second, 0)), 0)
}

// monotonicTime returns a time of the wall clock with the reading of the monotonic clock that
// belongs to it now.
func (c wallClock) monotonicTime(t time.Time) time.Time {
	return time.Now().Add(t.Sub(c.currentTime()))
}
