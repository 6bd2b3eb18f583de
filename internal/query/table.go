package query

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// table is where the questions of one connection are worked on. Who hears a
// question only looks at it; what takes time has a place at the table, and a
// goroutine of its own.
type table struct {
	*Service
	ctx     context.Context
	nc      *nats.Conn
	subs    []*nats.Subscription
	tallies []*tally

	lists, scans, statuses, counting, held, pinging places

	mu      sync.Mutex
	cleared bool
	running sync.WaitGroup
}

type places chan struct{}

func newTable(ctx context.Context, s *Service, nc *nats.Conn) *table {
	return &table{Service: s, ctx: ctx, nc: nc, lists: make(places, listsMax), scans: make(places, scansMax),
		statuses: make(places, statusMax), counting: make(places, 1), held: make(places, heldMax), pinging: make(places, pingsMax)}
}

// enter reports whether a question may still be looked at; who looks at it says
// when it is done.
func (t *table) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cleared {
		t.running.Add(1)
	}
	return !t.cleared
}

// clear hears no more and waits for all that is under way.
func (t *table) clear() {
	for _, sub := range t.subs {
		_ = sub.Unsubscribe() // or the connection is closed
	}
	t.mu.Lock()
	t.cleared = true
	t.mu.Unlock()
	t.running.Wait()
}

// later works on a question aside, in one of the places, or refuses it.
func (t *table) later(at places, q *question, work func()) {
	select {
	case at <- struct{}{}:
	default:
		q.refuse(&refusal{tooMany, "too many requests of this kind are under way: try again in a second"})
		return
	}
	t.running.Go(func() {
		defer func() { <-at }()
		work()
	})
}

// inTurn works when one of the places is free, and reports whether the answer
// is whole: it may not be when the table is cleared.
func (t *table) inTurn(at places, work func()) bool {
	select {
	case at <- struct{}{}:
		defer func() { <-at }()
		work()
	case <-t.ctx.Done():
	}
	return t.ctx.Err() == nil
}

// hold answers after a while, or at once where no other node is asked.
func (t *table) hold(d time.Duration, q *question, answer func()) {
	if q.own {
		answer()
		return
	}
	t.later(t.held, q, func() {
		wait := time.NewTimer(d)
		defer wait.Stop()
		select {
		case <-wait.C:
			answer()
		case <-t.ctx.Done():
			q.refuse(errEnding)
		}
	})
}
