package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Headers of a message that is traced and not delivered (NATS ADR-41), for servers from 2.11 on.
const (
	traceDestHeader = "Nats-Trace-Dest"
	traceOnlyHeader = "Nats-Trace-Only"

	traceMajor, traceMinor = 2, 11
)

// traceDest is where the server sends its trace of a trial: a request that it answers to nobody, as the trace has no
// reply subject. A node asks it for its streams there, so it may.
const traceDest = infoSubject

// ErrUntried is returned where whether a user may publish cannot be tried without publishing.
var ErrUntried = errors.New("it cannot be tried without publishing")

// TryPublish tries whether the user may publish to subjects, and returns the refusal of each that is refused. No message
// is delivered or stored: each is one that the server traces only. The error is [ErrUntried] with a server before 2.11,
// or for a user who may not ask for the streams.
func (s *Session) TryPublish(ctx context.Context, subjects ...string) (refused map[string]error, err error) {
	if !traces(s.Conn.ConnectedServerVersion()) {
		return nil, fmt.Errorf("the server's version is %s: %w", s.Conn.ConnectedServerVersion(), ErrUntried)
	}
	dest := s.JetStreamDomain().Subject(traceDest)
	for _, subject := range subjects {
		m := nats.NewMsg(subject)
		m.Header.Set(traceDestHeader, dest)
		m.Header.Set(traceOnlyHeader, "true")
		if err := s.Conn.PublishMsg(m); err != nil {
			return nil, err
		}
	}
	if err := s.RoundTrip(ctx); err != nil {
		return nil, err
	}
	if err := s.TakeRefusal(dest); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntried, err)
	}
	refused = make(map[string]error)
	for _, subject := range subjects {
		if err := s.TakeRefusal(subject); err != nil {
			refused[subject] = err
		}
	}
	return refused, nil
}

// traces reports whether a server of a version traces messages.
func traces(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > traceMajor || major == traceMajor && minor >= traceMinor
}

// TrySubscribe tries whether the user may subscribe to a subject, and returns the server's refusal.
func (s *Session) TrySubscribe(ctx context.Context, subject string) error {
	sub, err := s.Conn.SubscribeSync(subject)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.RoundTrip(ctx); err != nil {
		return err
	}
	return s.TakeSubscribeRefusal(subject)
}
