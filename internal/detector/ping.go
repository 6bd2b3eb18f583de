package detector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrEnded is returned by a detector whose Run has ended.
var ErrEnded = errors.New("the detector has ended")

// Ping sends an agent a keep-alive at once, as [Table.ProbeNow] does, and waits for its
// answer, or until ctx ends. Any goroutine may call it. Each call takes some memory
// while it waits: limiting their number is up to the caller.
func (d *Detector) Ping(ctx context.Context, id AgentID) (Answer, error) {
	var hastened Probe
	var w *waiter
	refused := ErrEnded
	if err := d.callTableContext(ctx, func(t *Table, now Instant) {
		hastened, refused = t.ProbeNow(id, now)
		if refused == nil && !hastened.Answered {
			w = d.waiters.addWaiter(id, hastened.Token)
		}
	}); err != nil {
		return Answer{}, err
	}
	if w == nil {
		return hastened.Answer, refused
	}
	defer d.waiters.removeWaiter(id, w)
	select {
	case r := <-w.result:
		return r.Answer, r.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-d.done:
		return Answer{}, ErrEnded
	}
}

// waiter waits for the result of a keep-alive.
type waiter struct {
	token  uint32
	result chan result // buffered, for the one result
}

type result struct {
	Answer
	err error
}

// waiters holds the waiters of all agents. They are added by the detector's goroutine,
// before the result of the keep-alive is decided.
type waiters struct {
	mu      sync.Mutex
	byAgent map[AgentID][]*waiter
	agents  atomic.Int32 // the length of byAgent
}

func (ws *waiters) addWaiter(id AgentID, token uint32) *waiter {
	w := &waiter{token: token, result: make(chan result, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byAgent == nil {
		ws.byAgent = make(map[AgentID][]*waiter)
	}
	ws.setAgentWaiters(id, append(ws.byAgent[id], w))
	return w
}

// hasWaiters reports whether there are any. It does not take the lock.
func (ws *waiters) hasWaiters() bool { return ws.agents.Load() > 0 }

func (ws *waiters) removeWaiter(id AgentID, w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.setAgentWaiters(id, slices.DeleteFunc(ws.byAgent[id], func(other *waiter) bool { return other == w }))
}

func (ws *waiters) setAgentWaiters(id AgentID, left []*waiter) {
	if len(left) == 0 {
		delete(ws.byAgent, id)
	} else {
		ws.byAgent[id] = left
	}
	ws.agents.Store(int32(len(ws.byAgent)))
}

// sendWaiterResults sends the waiters the results among the decisions.
func (ws *waiters) sendWaiterResults(decisions []Decision) {
	if !ws.hasWaiters() {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for i := range decisions {
		d := &decisions[i]
		r, final := answerResult(d)
		if !final || ws.byAgent[d.ID] == nil {
			continue
		}
		ws.setAgentWaiters(d.ID, slices.DeleteFunc(ws.byAgent[d.ID], func(w *waiter) bool {
			// An earlier keep-alive than the one waited for is ignored; a later one
			// counts: the agent reconnected in between.
			if d.Verdict != Changed && int32(d.Token-w.token) < 0 {
				return false
			}
			w.result <- r
			return true
		}))
	}
}

// answerResult returns the result that a decision is for the agent's waiters.
func answerResult(d *Decision) (r result, final bool) {
	switch {
	case d.Verdict == Acknowledged:
		return result{Answer: Answer{SentAt: d.At.Add(-d.RTT), RTT: d.RTT}}, true
	case d.Verdict == Failed:
		return result{err: fmt.Errorf("%w: %d in a row", ErrUnanswered, d.Missed)}, true
	case d.Verdict == Changed && d.To == Disconnected:
		return result{err: fmt.Errorf("%w any more: %v", ErrNotConnected, d.Reason)}, true
	}
	return result{}, false
}

// Why an agent is not probed, or has not answered.
var (
	ErrUnknownAgent = errors.New("unknown agent")
	ErrNotConnected = errors.New("the agent is not connected")
	ErrNoKeepAlives = errors.New("keep-alives to this agent are disabled")
	ErrNoAnswers    = errors.New("keep-alives have no answer with this method")
	ErrUnanswered   = errors.New("the keep-alive was not answered in time")
)

// answerReuseTime is for how long an answer is returned again, so that many callers
// cost an agent no more than one.
const answerReuseTime = time.Second

// Answer is an answered keep-alive.
type Answer struct {
	SentAt Instant
	RTT    time.Duration
}

// Probe is a keep-alive sent by ProbeNow, or an earlier one that serves instead.
type Probe struct {
	Token    uint32 // the number of the keep-alive
	Answered bool   // it is answered already
	Answer   Answer // if Answered
}

// ProbeNow sends the agent a keep-alive now, unless one is unanswered, or was answered
// within the answerReuseTime.
func (t *Table) ProbeNow(id AgentID, now Instant) (Probe, error) {
	slot, ok := t.slots.findAgentSlot(id)
	if !ok {
		return Probe{}, ErrUnknownAgent
	}
	s := &t.state[slot]
	switch {
	case t.groupOf(s).Interval == 0:
		return Probe{}, ErrNoKeepAlives
	case t.set.Method != Request:
		return Probe{}, ErrNoAnswers
	}
	if t.due[slot] <= now {
		t.decideDueAgent(slot, now)
	}
	defer t.evaluateFleetChanges(now)
	switch {
	case !s.isWatched() || s.has(closed|restored|losing):
		return Probe{}, ErrNotConnected
	case s.has(answered) && now.Sub(s.sentAt) < answerReuseTime:
		return Probe{Token: s.token, Answered: true,
			Answer: Answer{SentAt: s.sentAt, RTT: time.Duration(s.rtt) * time.Microsecond}}, nil
	case !s.has(probing):
		t.sendKeepAlive(slot, now)
		t.ensureDueBy(slot, s.nextAction)
	}
	return Probe{Token: s.token}, nil
}
