package query

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// connection handles the requests of one NATS connection. A subscription's
// goroutine only parses a request; what takes time runs in a goroutine of its
// own, limited by a semaphore.
type connection struct {
	*Service
	ctx       context.Context
	nc        *nats.Conn
	subs      []*nats.Subscription
	endpoints []*endpointStats

	lists, scans, statuses, counting, delayed, pinging semaphore

	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// semaphore limits how many requests of a kind are handled at once.
type semaphore chan struct{}

func newConnection(ctx context.Context, s *Service, nc *nats.Conn) *connection {
	return &connection{Service: s, ctx: ctx, nc: nc, lists: make(semaphore, maxLists), scans: make(semaphore, maxScans),
		statuses: make(semaphore, maxStatuses), counting: make(semaphore, 1), delayed: make(semaphore, maxDelayed), pinging: make(semaphore, maxPings)}
}

// beginRequest reports whether a request may still be handled; the caller then
// calls running.Done.
func (c *connection) beginRequest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.running.Add(1)
	}
	return !c.stopped
}

// stopAndWait unsubscribes and waits for the requests being handled.
func (c *connection) stopAndWait() {
	for _, sub := range c.subs {
		_ = sub.Unsubscribe() // or the connection is closed
	}
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.running.Wait()
}

// runLater runs work in a goroutine within the limit, or refuses the request.
func (c *connection) runLater(at semaphore, q *request, work func()) {
	select {
	case at <- struct{}{}:
	default:
		q.sendRefusal(&refusal{tooMany, "too many requests of this kind are under way: try again in a second"})
		return
	}
	c.running.Go(func() {
		defer func() { <-at }()
		work()
	})
}

// runInTurn runs work within the limit, and reports whether the result is
// complete: it may not be when the connection is stopped.
func (c *connection) runInTurn(at semaphore, work func()) bool {
	select {
	case at <- struct{}{}:
		defer func() { <-at }()
		work()
	case <-c.ctx.Done():
	}
	return c.ctx.Err() == nil
}

// answerLater answers after a delay, or at once if no other node receives the
// request.
func (c *connection) answerLater(d time.Duration, q *request, answer func()) {
	if q.own {
		answer()
		return
	}
	c.runLater(c.delayed, q, func() {
		wait := time.NewTimer(d)
		defer wait.Stop()
		select {
		case <-wait.C:
			answer()
		case <-c.ctx.Done():
			q.sendRefusal(errEnding)
		}
	})
}
