package attach

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wake"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/time/rate"
)

const (
	// maxEventsWaiting is how many events may wait for analysisd. An event waits
	// unformatted, in less than 1 KiB.
	maxEventsWaiting = 1 << 14
	// eventRate is how many events a second analysisd is sent at most, so that those of
	// others have their share.
	eventRate  = 500
	eventBurst = 100
)

// eventSender sends events to wazuh-analysisd, in order. While analysisd does not take
// them they wait; of too many the oldest are dropped.
type eventSender struct {
	out        *wazuhsock.Queue // runSender's
	rate       *rate.Limiter
	retry      time.Duration // after analysisd took no event
	conditions *conditions
	log        *slog.Logger
	next       string // the event that is sent next; runSender's

	mu       sync.Mutex
	queue    []func() string // format the events
	dropping int64           // how many were dropped since analysisd took one
	ready    wake.Signal     // the queue is not empty

	sent, dropped atomic.Int64
}

func newEventSender(home wazuhsock.Home, conditions *conditions, log *slog.Logger) *eventSender {
	return &eventSender{out: wazuhsock.NewQueue(home.Path(wazuhsock.AnalysisQueue)), rate: rate.NewLimiter(eventRate, eventBurst), retry: alertRetry,
		conditions: conditions, log: log, ready: wake.NewSignal()}
}

// queueEvent queues an event. It does not wait.
func (s *eventSender) queueEvent(format func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue = append(s.queue, format); len(s.queue) > maxEventsWaiting {
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.dropped.Add(1)
		if s.dropping++; s.dropping == 1 {
			s.log.Error("wazuh-analysisd takes no events, and too many wait: the oldest are dropped", "waiting", len(s.queue))
		}
	}
	s.ready.Send()
}

// takeEvent takes the event that has waited longest as the next one, and reports whether
// there is one.
func (s *eventSender) takeEvent() bool {
	format := s.removeOldest()
	if format == nil {
		return false
	}
	s.next = format()
	return true
}

func (s *eventSender) removeOldest() (format func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.queue = nil // a long queue's memory is not kept
		return nil
	}
	format, s.queue[0] = s.queue[0], nil
	s.queue = s.queue[1:]
	return format
}

// logDropped logs how many events were dropped since the last one that was sent.
func (s *eventSender) logDropped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropping > 0 {
		s.log.Warn("wazuh-analysisd takes events again", "dropped", s.dropping)
		s.dropping = 0
	}
}

func (s *eventSender) countWaiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// runSender sends what is queued until ctx ends, and then the rest as long as analysisd
// takes it, for finishTimeout at most.
func (s *eventSender) runSender(ctx context.Context) {
	defer s.out.Close()
	for {
		if !s.sendQueue(ctx) {
			s.waitFor(ctx, s.retry)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
			defer cancel()
			s.sendQueue(last)
			return
		case <-s.ready:
		}
	}
}

// sendQueue sends what is queued until ctx ends, and reports whether analysisd took it. If
// it did not, the next event stays the next.
func (s *eventSender) sendQueue(ctx context.Context) bool {
	for s.next != "" || s.takeEvent() {
		if s.rate.Wait(ctx) != nil {
			return true
		}
		err := s.out.Send(s.next)
		switch {
		case err == nil:
			s.sent.Add(1)
			s.logDropped()
		case errors.Is(err, syscall.EMSGSIZE): // it is this event, and not analysisd
			s.dropped.Add(1)
		default:
			s.conditions.setDaemonCondition("wazuh-analysisd", wazuhsock.ExplainError(err, "wazuh-analysisd", s.out.SocketPath()))
			s.ready.Send()
			return false
		}
		s.next = ""
		s.conditions.setDaemonCondition("wazuh-analysisd", nil)
	}
	return true
}

// waitFor waits, or until ctx ends.
func (s *eventSender) waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
