package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// infoSubject is where JetStream answers with what it is.
const infoSubject = "$JS.API.INFO"

// infoTimeout is for one answer of JetStream about itself.
const infoTimeout = 3 * time.Second

// FindDomain reports whether the JetStream of the session's domain answers. An error is why that is not known, or why it
// is of no use.
func (s *Session) FindDomain(ctx context.Context) (found bool, err error) {
	domain := s.JetStreamDomain()
	_, err = s.readDomain(ctx, domain.Subject(infoSubject))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask for the JetStream of the domain %s: %w", domain, err)
	}
	return true, nil
}

// ServerDomain returns the domain of the JetStream of the server itself, "" if it has none.
func (s *Session) ServerDomain(ctx context.Context) string {
	domain, err := s.readDomain(ctx, infoSubject)
	if err != nil {
		return ""
	}
	return domain
}

// readDomain returns the domain that JetStream answers with.
func (s *Session) readDomain(ctx context.Context, subject string) (domain string, err error) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	m, err := s.Conn.RequestWithContext(ctx, subject, nil)
	if err != nil {
		if refused := s.TakeRefusal(subject); refused != nil {
			err = refused
		}
		return "", err
	}
	var answer struct {
		Domain string              `json:"domain"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return "", fmt.Errorf("the answer is no JSON: %w", err)
	}
	if answer.Error != nil {
		return "", answer.Error
	}
	return answer.Domain, nil
}
