package detector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrEnded is the answer of a detector that does not run any more.
var ErrEnded = errors.New("the detector has ended")

// Ping asks an agent out of turn, as [Table.ProbeNow] does, and waits for its
// answer, no longer than ctx lasts. Any goroutine may call it. Each caller costs
// some memory while it waits: how many may is the affair of who lets them.
func (d *Detector) Ping(ctx context.Context, id AgentID) (Answer, error) {
	var hastened Probe
	var w *waiter
	refused := ErrEnded
	if err := d.callIn(ctx, func(t *Table, now Instant) {
		hastened, refused = t.ProbeNow(id, now)
		if refused == nil && !hastened.Answered {
			w = d.waiters.add(id, hastened.Token)
		}
	}); err != nil {
		return Answer{}, err
	}
	if w == nil {
		return hastened.Answer, refused
	}
	defer d.waiters.remove(id, w)
	select {
	case r := <-w.result:
		return r.Answer, r.err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-d.done:
		return Answer{}, ErrEnded
	}
}

// waiter waits for what becomes of a keep-alive.
type waiter struct {
	token  uint32
	result chan result // has room for the one there is
}

type result struct {
	Answer
	err error
}

// waiters are those of all agents. They are added by the detector's goroutine,
// before it tells what the keep-alive came to.
type waiters struct {
	mu     sync.Mutex
	agent  map[AgentID][]*waiter
	agents atomic.Int32 // in the map
}

func (ws *waiters) add(id AgentID, token uint32) *waiter {
	w := &waiter{token: token, result: make(chan result, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.agent == nil {
		ws.agent = make(map[AgentID][]*waiter)
	}
	ws.keep(id, append(ws.agent[id], w))
	return w
}

// any reports whether somebody waits. It never waits itself.
func (ws *waiters) any() bool { return ws.agents.Load() > 0 }

func (ws *waiters) remove(id AgentID, w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.keep(id, slices.DeleteFunc(ws.agent[id], func(other *waiter) bool { return other == w }))
}

func (ws *waiters) keep(id AgentID, left []*waiter) {
	if len(left) == 0 {
		delete(ws.agent, id)
	} else {
		ws.agent[id] = left
	}
	ws.agents.Store(int32(len(ws.agent)))
}

// hear gives those who wait what was decided.
func (ws *waiters) hear(decisions []Decision) {
	if !ws.any() {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for i := range decisions {
		d := &decisions[i]
		r, final := outcome(d)
		if !final || ws.agent[d.ID] == nil {
			continue
		}
		ws.keep(d.ID, slices.DeleteFunc(ws.agent[d.ID], func(w *waiter) bool {
			// A keep-alive before the one that is waited for says nothing; one behind
			// it does: the agent came back in between.
			if d.Verdict != Changed && int32(d.Token-w.token) < 0 {
				return false
			}
			w.result <- r
			return true
		}))
	}
}

// outcome is what a decision means to those who wait for the agent's answer.
func outcome(d *Decision) (r result, final bool) {
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
