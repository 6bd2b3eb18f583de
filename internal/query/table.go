package query

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// table is where the questions of one connection are worked on. An endpoint's
// handler only looks at a question; what takes time has a place at the table, and
// a goroutine of its own.
type table struct {
	*Service
	ctx context.Context
	nc  *nats.Conn

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

// clear waits for all that is under way, and lets nothing begin any more.
func (t *table) clear() {
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cleared {
		<-at
		q.refuse(errEnding)
		return
	}
	q.late = true
	t.running.Go(func() {
		defer func() { <-at }()
		work()
	})
}

// inTurn works when one of the places is free, and reports whether it did: not if
// the table is cleared before.
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
