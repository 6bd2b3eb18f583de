package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// FindDomain reports whether the JetStream of <jetstream_domain> answers. An error is why that is not known, or why it
// is of no use.
func FindDomain(ctx context.Context, s *remote.Session) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	subject := s.JetStreamDomain().Subject("$JS.API.INFO")
	m, err := s.Conn.RequestWithContext(ctx, subject, nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return false, nil
	}
	if err != nil {
		if refused := s.TakeRefusal(subject); refused != nil {
			err = refused
		}
		return false, fmt.Errorf("ask for the JetStream of the domain %s: %w", s.JetStreamDomain(), err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return false, fmt.Errorf("ask for the JetStream of the domain %s: %w", s.JetStreamDomain(), err)
	}
	if answer.Error != nil {
		return false, fmt.Errorf("the JetStream of the domain %s: %w", s.JetStreamDomain(), answer.Error)
	}
	return true, nil
}
