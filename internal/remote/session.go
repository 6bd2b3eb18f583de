package remote

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
)

// Session is one connection to the remote, from its dial to its first failure.
// It sets the Conn's error and closed handlers.
type Session struct {
	Conn *nats.Conn

	remote     *Remote // nil for a session of Dial
	attempt    *attempt
	ended      chan struct{} // closed at the first failure
	once       sync.Once
	reason     error // why it ended; may be read after ended is closed
	connWorked bool  // the connection still worked then; as reason

	mu          sync.Mutex
	cause       error            // why the server is about to close the connection
	refused     map[string]error // by subject
	needs       []string         // what the server refuses of what the node needs
	needing     atomic.Bool      // needs is not empty
	lastError   error            // the last error passed to the connection's error handler
	errorSignal chan struct{}    // closed with the next one
}

// endingTime is how long the client library may take to report why a
// connection has ended.
const endingTime = time.Second

// End closes the connection, and another session follows; only the first
// reason counts. If the connection has ended already, the reason is that.
func (s *Session) End(reason error) {
	if s.Conn.IsClosed() {
		select {
		case <-s.ended: // the client library reports it in a goroutine of its own
		case <-time.After(endingTime):
		}
	}
	s.endWith(reason, s.Conn.IsConnected())
	s.Conn.Close()
}

func (s *Session) endReason() error {
	if len(Failures(s.reason)) > 0 {
		return s.reason
	}
	return s.attempt.newFailure(NotConfirmed, "the server does not confirm what it is sent: "+s.reason.Error(),
		"see there whether the stream is full or without a leader, and this user may subscribe to its inbox (_INBOX.NODE.>)", s.reason)
}

func (s *Session) endWith(reason error, worked bool) {
	s.once.Do(func() {
		s.reason, s.connWorked = reason, worked
		close(s.ended)
	})
}

// Ended returns a channel that is closed when the session has ended.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Reason returns why the session ended; nil while it has not.
func (s *Session) Reason() error {
	select {
	case <-s.ended:
		return s.reason
	default:
		return nil
	}
}

// Good reports that the server did what it was asked for. After a session that
// its user ended, only this, and not a mere connection, makes the remote
// healthy.
func (s *Session) Good() {
	if s.remote != nil {
		s.remote.handleRecovered()
	}
}

// handleServerError handles an error that the server sends: a refused subject, or
// the reason for which it is about to close the connection, which is not
// repeated.
func (s *Session) handleServerError(err error) {
	s.recordSubjectRefusal(err)
	if f := s.attempt.diagnoseRefusedLogin(err); f != nil {
		s.mu.Lock()
		s.cause = f
		s.mu.Unlock()
	}
	if s.remote != nil {
		s.remote.logRefusedSubject(s, err)
	}
}

// handleConnClosed ends the session of a connection that has ended.
func (s *Session) handleConnClosed(err error) {
	s.mu.Lock()
	cause := s.cause
	s.mu.Unlock()
	if cause == nil {
		text := "the connection was lost"
		if err != nil {
			text += ": " + err.Error()
		}
		cause = s.attempt.newFailure(ConnectionLost, text, "", err)
	}
	s.endWith(cause, false)
}

// Explain returns a [Failure] for the server's refusal of a subject, and other
// errors as they are.
func (s *Session) Explain(err error) error {
	verb, subject, ok := parseRefusedSubject(err)
	if !ok {
		return err
	}
	who := cmp.Or(s.attempt.identity, "whoever does not log in")
	return s.attempt.newFailure(SubjectRefused, who+" may not "+verb+" "+quoteBrief(subject), "give that user the right on the server", err)
}

var subjectRefusal = regexp.MustCompile(`(Publish|Subscription) to "([^"]+)`)

// publishing is the verb of a refused message.
const publishing = "publish to"

func parseRefusedSubject(err error) (verb, subject string, ok bool) {
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

// JetStreamDomain returns the domain whose JetStream is used.
func (s *Session) JetStreamDomain() jsdomain.Domain { return s.attempt.cfg.JetStreamDomain }

// User returns the name in the login, "" if it has none.
func (s *Session) User() string { return s.attempt.user }

// recordRefusedNeed records that the server refuses what the node needs. The caller holds mu.
func (s *Session) recordRefusedNeed(verb, subject string) {
	inbox := "_INBOX."
	if node := s.attempt.cfg.Node; node != "" {
		inbox += node + "."
	}
	switch {
	case verb == publishing && slices.Contains(s.attempt.cfg.Needs, subject):
	case verb != publishing && strings.HasPrefix(subject, inbox):
		subject = inbox + ">"
	default:
		return
	}
	if text := verb + " " + subject; !slices.Contains(s.needs, text) {
		s.needs = append(s.needs, text)
		s.needing.Store(true)
	}
}

// Published reports that the server took a message to a subject, which it may have refused before.
func (s *Session) Published(subject string) {
	if !s.needing.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs = slices.DeleteFunc(s.needs, func(text string) bool { return text == publishing+" "+subject })
	s.needing.Store(len(s.needs) > 0)
}

func (s *Session) listRefusedNeeds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.needs)
}

// logRefusedSubject logs a refused subject, once for each kind. A refused
// request to JetStream is not logged: its sender handles a missing answer.
func (r *Remote) logRefusedSubject(s *Session, err error) {
	verb, subject, ok := parseRefusedSubject(err)
	if !ok || strings.HasPrefix(subject, "$JS.") {
		r.log.Debug("from the NATS server", "err", err)
		return
	}
	first, _, _ := strings.Cut(subject, ".")
	r.mu.Lock()
	isNew := r.loggedSubjects.Allow(verb + first)
	r.mu.Unlock()
	level := slog.LevelWarn
	if !isNew {
		level = slog.LevelDebug
	}
	r.log.Log(context.Background(), level, "the NATS server refuses a subject", "problem", SubjectRefused, "err", s.Explain(err))
}

// Session waits for a session that has not ended. The error is ctx's.
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

// ErrWithdrawn is the reason with which Config.Admit ends a session that its
// users must leave at once. It is no failure of the server: the next session
// is dialed without a pause, and has to be admitted like any other.
var ErrWithdrawn = errors.New("the session was withdrawn")

// admitSession waits until the session may be used. It returns false when the
// session has ended instead.
func (r *Remote) admitSession(ctx context.Context, s *Session) bool {
	if r.cfg.Admit == nil {
		return true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	admitted := make(chan error, 1)
	r.running.Go(func() { admitted <- r.cfg.Admit(ctx, s) })
	for {
		select {
		case err := <-admitted:
			if err != nil {
				s.End(err)
			}
			return err == nil && s.Reason() == nil
		case <-s.ended:
			return false
		case <-r.reload:
			if _, sum := r.describeCredentialFiles(); sum != s.attempt.sum {
				s.End(ErrWithdrawn) // the next session logs in with the changed files
			}
		}
	}
}

func (s *Session) endedInOrder() bool { return errors.Is(s.reason, ErrWithdrawn) }
