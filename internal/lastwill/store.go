package lastwill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
)

// laterLossError is returned when the server has announced a loss of this node that was
// not answered.
type laterLossError struct{ number uint64 }

func (e *laterLossError) Error() string {
	return fmt.Sprintf("the loss of this node was announced (number %d)", e.number)
}

// store publishes a will, or withdraws it if w is nil, unless another loss was announced
// than the last that was answered.
func (s *session) store(ctx context.Context, w *Will, answered uint64, timeout time.Duration) error {
	m := nats.NewMsg(Subject(s.cfg.Node))
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(answered, 10))
	m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, LostSubject(s.cfg.Node))
	if w != nil {
		m.Data = w.Data
		for name, values := range w.Header {
			m.Header[name] = values
		}
		m.Header.Set(jetstream.ScheduleHeader, "@every "+s.timing.delay.String())
		m.Header.Set(jetstream.ScheduleTargetHeader, LostSubject(s.cfg.Node))
		m.Header.Set(jetstream.ScheduleTTLHeader, "never") // of the announced loss: it is there when the node returns
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := s.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		if refused := s.refusal(m.Subject); refused != nil {
			err = refused
		}
		return fmt.Errorf("store the last will: %w", err)
	}
	return parseAnswer(answer.Data, s.cfg.Domain)
}

// parseAnswer returns what is wrong by the server's answer to a will.
func parseAnswer(data []byte, domain jsdomain.Domain) error {
	var answer struct {
		Stream string              `json:"stream"`
		Domain string              `json:"domain"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("store the last will: the answer is no JSON: %w", err)
	}
	switch {
	case answer.Error == nil && answer.Stream == "":
		return errors.New("store the last will: it was not acknowledged by a stream")
	case answer.Error == nil && !domain.Acknowledges(answer.Domain):
		return fmt.Errorf("store the last will: a stream of another domain took it: %.60q", answer.Domain)
	case answer.Error == nil:
		return nil
	}
	var number uint64
	if answer.Error.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		if _, err := fmt.Sscanf(answer.Error.Description, "wrong last sequence: %d", &number); err == nil {
			return &laterLossError{number}
		}
	}
	return fmt.Errorf("store the last will: %w", answer.Error)
}
