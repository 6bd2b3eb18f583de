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

// signsApart is the time between two signs of life that are no burst after a stall: three
// quarters of that between the keep-alives of an agent with Wazuh's defaults.
const signsApart = 7500 * time.Millisecond

// absence is an agent that was seen to be gone. Its times are readings of the
// monotonic clock too, so that steps of the wall clock do not move them.
type absence struct {
	since time.Time // signs of life before it prove nothing
	gone  bool      // it was given up, or said goodbye: it takes a proof to be back
	dead  time.Time // remoted had no connection to it then; zero if it was not asked

	sign   time.Time // when its first sign of life since was read; zero for none
	asked  bool      // a request was sent because of it
	second int64     // the time of its last sign

	refuted int64  // the time of the last sign after which remoted had no connection to it
	status  string // its status then
}

// absences are those of all agents. Any goroutine may use them.
type absences struct {
	wall wallClock

	mu sync.Mutex
	of map[detector.AgentID]*absence
}

// begin notes that an agent was gone at a time. Signs of life that were read before
// that, and were not proved, prove nothing any more.
func (as *absences) begin(id detector.AgentID, at time.Time, gone bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.start(id, at)
	a.gone = a.gone || gone
}

func (as *absences) start(id detector.AgentID, at time.Time) *absence {
	a := as.of[id]
	if a == nil {
		a = &absence{since: at}
		as.of[id] = a
	}
	if at.After(a.since) {
		a.since = at
	}
	a.sign, a.asked = time.Time{}, false
	return a
}

// unconnected notes that remoted had no connection to an agent at a time: whatever sign
// of life was read before was none.
func (as *absences) unconnected(id detector.AgentID, at time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a := as.of[id]; a != nil && !a.sign.IsZero() && !a.sign.After(at) {
		a.refuted = a.second
	}
	as.start(id, at).dead = at
}

// deadSince reports whether remoted had no connection to an agent after a sign of
// life in a second of the wall clock.
func (as *absences) deadSince(id detector.AgentID, second int64) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.of[id]
	return a != nil && !a.dead.IsZero() && (a.refuted == second || as.wall.second(a.dead) > second)
}

// sign takes an agent's sign of life in a second, read now. It returns whether the agent
// is there, and whether to ask it.
func (as *absences) sign(id detector.AgentID, status string, second int64) (there, ask bool) {
	now := time.Now()
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.of[id]
	switch {
	case a == nil:
		return true, false
	case second < as.wall.second(a.since):
		return false, false
	case !a.gone || !a.sign.IsZero() && now.Sub(a.sign) >= signsApart:
		delete(as.of, id)
		return true, true
	}
	if a.sign.IsZero() {
		a.sign = now
	}
	a.second, a.status, a.asked = second, status, true
	return false, true
}

// answered takes an agent's answer to a request that was sent at a time. It reports
// whether that proves that it is there, and returns its absence, if that is over by it.
func (as *absences) answered(id detector.AgentID, sent time.Time) (over *absence, proves bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.of[id]
	if a == nil {
		return nil, true
	}
	if sent.Before(a.since) {
		return nil, false
	}
	delete(as.of, id)
	return a, true
}

// unasked returns the agents that have shown a sign of life and could not be asked.
func (as *absences) unasked() (ids []detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id, a := range as.of {
		if !a.sign.IsZero() && !a.asked {
			a.asked = true
			ids = append(ids, id)
		}
	}
	return ids
}

// notAsked notes that an agent could not be asked.
func (as *absences) notAsked(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a := as.of[id]; a != nil {
		a.asked = false
	}
}

// forgetAgent forgets an agent.
func (as *absences) forgetAgent(id detector.AgentID) {
	as.mu.Lock()
	defer as.mu.Unlock()
	delete(as.of, id)
}

// keepOnly forgets the agents that are not to be kept.
func (as *absences) keepOnly(stays func(detector.AgentID) bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id := range as.of {
		if !stays(id) {
			delete(as.of, id)
		}
	}
}
