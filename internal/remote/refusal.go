package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// RoundTrip returns when the server has read all that was sent so far. Whatever of
// that it refused is then known to [Session.TakeRefusal].
func (s *Session) RoundTrip(ctx context.Context) error {
	if err := s.Conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("confirm by round trip: %w", err)
	}
	for {
		// The client library tells refusals in a goroutine of its own, in order.
		last := s.Conn.LastError()
		s.mu.Lock()
		told, more := s.told == last, s.more
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

// TakeRefusal returns why the server did not take what was published to a subject
// since the last call for it; nil if it refused nothing.
func (s *Session) TakeRefusal(subject string) error { return s.takeRefusal(subject) }

// TakeSubscribeRefusal returns why the server did not take a subscription to a subject
// since the last call for it; nil if it refused none.
func (s *Session) TakeSubscribeRefusal(subject string) error {
	return s.takeRefusal(subscribing + subject)
}

// subscribing stands before the subject of a refused subscription, as no subject begins.
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

// noteRefusal keeps a refusal until somebody takes it.
func (s *Session) noteRefusal(err error) {
	verb, subject, ok := refusedSubject(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && verb == publishing {
		s.refused[subject] = err
	} else if ok {
		s.refused[subscribing+subject] = err
	}
	s.told = err
	close(s.more)
	s.more = make(chan struct{})
}
