package remote

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Session is one connection to the remote, from its dial to its first failure.
// The Conn's error and closed handlers are the session's.
type Session struct {
	Conn *nats.Conn

	remote *Remote // nil for one of Dial's
	dialed *attempt
	ended  chan struct{} // closed at the first failure
	once   sync.Once
	reason error // why it ended; read only after ended is closed
	worked bool  // the connection itself still worked; as reason

	mu      sync.Mutex
	cause   error            // why the server is about to close the connection
	refused map[string]error // by the subject that we published to
	told    error            // the last that the connection's error handler was told
	more    chan struct{}    // closed when it is told more
}

// endingTime is for how long the client library may take to tell why a connection
// has ended.
const endingTime = time.Second

// End closes the connection, and another session follows; only the first reason counts.
// If the connection has ended already, that is the reason.
func (s *Session) End(reason error) {
	if s.Conn.IsClosed() {
		select {
		case <-s.ended: // which the client library tells in a goroutine of its own
		case <-time.After(endingTime):
		}
	}
	s.finish(reason, s.Conn.IsConnected())
	s.Conn.Close()
}

// why is the reason of a session that has ended, as a [Failure].
func (s *Session) why() error {
	if len(Failures(s.reason)) > 0 {
		return s.reason
	}
	return s.dialed.failure(NotConfirmed, "the server does not confirm what it is sent: "+s.reason.Error(),
		"see there whether the stream is full or without a leader, and this user may subscribe to its inbox (_INBOX.NODE.>)", s.reason)
}

func (s *Session) finish(reason error, worked bool) {
	s.once.Do(func() {
		s.reason, s.worked = reason, worked
		close(s.ended)
	})
}

// Ended is closed when the session has ended.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Reason is why the session ended; nil while it has not.
func (s *Session) Reason() error {
	select {
	case <-s.ended:
		return s.reason
	default:
		return nil
	}
}

// Good notes that the server did what it was asked for. After a session that
// its user ended, only this, and not a mere connection, shows that all is well.
func (s *Session) Good() {
	if s.remote != nil {
		s.remote.recovered()
	}
}

// heard takes what the server says out of turn: that a subject is not for us,
// and why it is about to close the connection, which is not said again.
func (s *Session) heard(err error) {
	s.noteRefusal(err)
	if f := s.dialed.diagnoseLogin(err); f != nil {
		s.mu.Lock()
		s.cause = f
		s.mu.Unlock()
	}
	if s.remote != nil {
		s.remote.heard(s, err)
	}
}

// lost ends the session of a connection that has ended.
func (s *Session) lost(err error) {
	s.mu.Lock()
	cause := s.cause
	s.mu.Unlock()
	if cause == nil {
		text := "the connection was lost"
		if err != nil {
			text += ": " + err.Error()
		}
		cause = s.dialed.failure(ConnectionLost, text, "", err)
	}
	s.finish(cause, false)
}

// Explain makes a [Failure] of the server's refusal of a subject, if err is one.
func (s *Session) Explain(err error) error {
	verb, subject, ok := refusedSubject(err)
	if !ok {
		return err
	}
	who := s.dialed.who
	if who == "" {
		who = "whoever does not log in"
	}
	return s.dialed.failure(SubjectRefused, who+" may not "+verb+" "+brief(subject), "give that user the right on the server", err)
}

var subjectRefusal = regexp.MustCompile(`(Publish|Subscription) to "([^"]+)`)

// publishing is what we wanted to do with a subject, if not to subscribe.
const publishing = "publish to"

// refusedSubject takes a refusal apart into what we wanted to do, and the subject.
func refusedSubject(err error) (verb, subject string, ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", "", false
	}
	parts := subjectRefusal.FindStringSubmatch(err.Error())
	switch {
	case parts == nil:
		return "use", "the subject", true
	case parts[1] == "Publish":
		return publishing, parts[2], true
	}
	return "subscribe to", parts[2], true
}

// heard logs a refused subject once for its kind. That we may not ask about
// JetStream is no trouble: who asks knows what to do without an answer.
func (r *Remote) heard(s *Session, err error) {
	verb, subject, ok := refusedSubject(err)
	if !ok || strings.HasPrefix(subject, "$JS.API.") {
		r.log.Debug("from the NATS server", "err", err)
		return
	}
	first, _, _ := strings.Cut(subject, ".")
	r.mu.Lock()
	known := r.denied[verb+first]
	r.denied[verb+first] = true
	r.mu.Unlock()
	level := slog.LevelWarn
	if known {
		level = slog.LevelDebug
	}
	r.log.Log(context.Background(), level, "the NATS server refuses a subject", "problem", SubjectRefused, "err", s.Explain(err))
}

// Session waits for one that has not ended. The error is ctx's.
func (r *Remote) Session(ctx context.Context) (*Session, error) {
	for {
		r.mu.Lock()
		s, changed := r.current, r.changed
		r.mu.Unlock()
		if s != nil && s.Reason() == nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
