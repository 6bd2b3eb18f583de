package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

func (a *attempt) newFailure(p Problem, what, hint string, cause error) *Failure {
	return &Failure{Server: a.endpoint.String(), Problem: p, what: what, hint: hint, cause: cause}
}

// diagnoseError returns the failure for an error. The client library, the TLS
// library and the server report errors in different ways, and some only as
// text.
func (a *attempt) diagnoseError(err error) *Failure {
	if a.dialErr != nil {
		return a.diagnoseNetworkError(a.dialErr)
	}
	for _, look := range []func(error) *Failure{a.diagnoseRefusedLogin, a.diagnoseTLS, a.diagnoseNATSError} {
		if f := look(err); f != nil {
			return f
		}
	}
	return a.diagnoseNetworkError(err)
}

// diagnoseRefusedLogin recognizes refused logins. For an unknown user or account, a
// wrong password and a revoked or expired JWT the server reports the same, on
// purpose.
func (a *attempt) diagnoseRefusedLogin(err error) *Failure {
	text := strings.ToLower(err.Error()) // at connect the library returns only text
	switch {
	case strings.Contains(text, "authentication expired"):
		return a.newExpiredLoginFailure(err)
	case strings.Contains(text, "authentication revoked"):
		return a.newFailure(LoginRevoked, "the server has revoked the login of "+a.identity, a.loginHint(), err)
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return a.newFailure(LoginRefused, "the server takes no NKeys or credentials", "set up the user on the server, or log in in another way", err)
	case !errors.Is(err, nats.ErrAuthorization):
		return nil
	case a.identity == "":
		return a.newFailure(WantsLogin, "the server wants a login, and none is given",
			"set <credentials_file>, <nkey_file>, <user> and <password_file>, or <token_file>", err)
	case !a.expires.IsZero() && time.Now().After(a.expires):
		return a.newExpiredLoginFailure(err)
	}
	what := "the server refuses the login of " + a.identity + ": unknown user or account, wrong secret, or revoked"
	return a.newFailure(LoginRefused, what, a.loginHint(), err)
}

func (a *attempt) newExpiredLoginFailure(err error) *Failure {
	what := "the login of " + a.identity + " has expired"
	if !a.expires.IsZero() && time.Now().After(a.expires) {
		what = "the login of " + a.identity + " expired on " + a.expires.UTC().Format(time.RFC3339)
	}
	return a.newFailure(LoginExpired, what, a.loginHint(), err)
}

func (a *attempt) loginHint() string {
	for _, f := range a.cfg.listCredentialFiles() {
		if f.secret && f.setting != "tls_key" {
			return "put a valid login into <" + f.setting + ">" + f.path + "</" + f.setting + ">, or set up the user on the server"
		}
	}
	return "set up the user on the server"
}

// diagnoseNATSError recognizes failures of NATS's own protocol.
func (a *attempt) diagnoseNATSError(err error) *Failure {
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return a.newFailure(NoTLS, "the server speaks no TLS", noTLSHint, err)
	case errors.Is(err, nats.ErrNoInfoReceived), strings.Contains(text, "nats: expected"), strings.Contains(text, "websocket"),
		strings.Contains(text, "malformed http"):
		return a.newFailure(NoNATS, "no NATS server answers there, but something else", "correct <server_url>", err)
	case strings.Contains(text, "connections exceeded"):
		return a.newFailure(ServerFull, "the server takes no more connections", "raise max_connections on the server, or the account's limit", err)
	case strings.Contains(text, "authentication timeout"):
		return a.newFailure(NoAnswer, "the login took too long for the server", "look at the network between, and at the server's load", err)
	}
	return nil
}

// diagnoseNetworkError recognizes errors of the operating system.
func (a *attempt) diagnoseNetworkError(err error) *Failure {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return a.newFailure(NameNotFound, fmt.Sprintf("the name %s cannot be resolved (%s)", a.url.Hostname(), e.Err), "correct <server_url>, or this host's resolver", err)
	}
	if f := a.diagnoseClosedConn(err); f != nil {
		return f
	}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return a.newFailure(Refused, "nothing listens there (connection refused)", "start the NATS server, or correct <server_url>", err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return a.newFailure(NoAnswer, fmt.Sprintf("no answer within %v", a.cfg.Timeout),
			"look at the network and the firewalls between; a server with handshake_first cannot be used", err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return a.newFailure(NoAnswer, "there is no way to that host", "correct <server_url>, or this host's network", err)
	}
	return a.newFailure(Other, err.Error(), "look into the server's log", err)
}

// diagnoseClosedConn recognizes a connection that was closed during the
// handshakes. With TLS 1.3 the server checks our certificate after we have
// checked its, and its alert may be lost when it closes the connection at
// once.
func (a *attempt) diagnoseClosedConn(err error) *Failure {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return nil
	}
	switch {
	case a.handshaken && a.asked && a.cert == nil:
		return a.wantsCertificate(err)
	case a.handshaken && a.asked:
		return a.refusesCertificate(err)
	}
	return a.newFailure(NoNATS, "the connection was closed before a NATS server answered",
		"correct <server_url>; a server that is full or has handshake_first does that, too", err)
}

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
	if ok {
		s.recordRefusedNeed(verb, subject)
	}
	s.lastError = err
	close(s.errorSignal)
	s.errorSignal = make(chan struct{})
}
