package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// RoundTrip returns when the server has read all that was sent so far. What it
// has refused of that is then returned by [Session.TakeRefusal].
func (s *Session) RoundTrip(ctx context.Context) error {
	if err := s.Conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("confirm by round trip: %w", err)
	}
	for {
		// The client library reports refusals in a goroutine of its own, in order.
		last := s.Conn.LastError()
		s.mu.Lock()
		told, more := s.lastError == last, s.errorSignal
		s.mu.Unlock()
		if told || !errors.Is(last, nats.ErrPermissionViolation) {
			return nil
		}
		select {
		case <-more:
		case <-s.ended:
			return s.reason
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TakeRefusal returns the reason for which the server refused a message to a
// subject since the last call for it; nil if it refused none.
func (s *Session) TakeRefusal(subject string) error { return s.takeRefusal(subject) }

// TakeSubscribeRefusal returns the reason for which the server refused a
// subscription to a subject since the last call for it; nil if it refused
// none.
func (s *Session) TakeSubscribeRefusal(subject string) error {
	return s.takeRefusal(subscribing + subject)
}

// subscribing is the prefix of refused subscriptions' keys. No subject has it.
const subscribing = "subscribe "

func (s *Session) takeRefusal(key string) error {
	s.mu.Lock()
	err := s.refused[key]
	delete(s.refused, key)
	s.mu.Unlock()
	if err != nil {
		err = s.Explain(err)
	}
	return err
}

// recordSubjectRefusal records a refusal until it is taken.
func (s *Session) recordSubjectRefusal(err error) {
	verb, subject, ok := parseRefusedSubject(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && verb == publishing {
		s.refused[subject] = err
	} else if ok {
		s.refused[subscribing+subject] = err
	}
	s.lastError = err
	close(s.errorSignal)
	s.errorSignal = make(chan struct{})
}
