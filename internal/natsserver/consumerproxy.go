package natsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What readers may use of a stream. Without unusedMax, the consumer of a reader that
// never comes back would be kept, and count against consumersMax, for ever.
const (
	consumersMax     = 100                 // consumers of one stream
	unackedMax       = 1 << 16             // messages of one consumer that await acknowledgement: what older clients ask for
	waitingMax       = 512                 // pull requests of one consumer that await messages, nats-server's default
	requestMax       = 64 << 10            // bytes of one request
	queueMax         = 1000                // requests that await their turn
	unusedMax        = 30 * 24 * time.Hour // then a consumer is removed, durable ones too
	proxyAnswerAfter = 5 * time.Second
)

// consumerProxy makes consumers on behalf of readers, who cannot themselves: a push
// consumer delivers to any subject, that of another stream or of a request to purge
// it, and only the body of the request names it. The proxy passes on what it has
// parsed, and nothing else. It works on one request at a time.
type consumerProxy struct {
	nc    *nats.Conn
	slots *consumerSlots
}

// ServeReaders answers readers who ask for consumers, for as long as the owner's
// connection nc is open. When it returns, the server knows that they are answered.
func (s *Server) ServeReaders(nc *nats.Conn, js jetstream.JetStream) error {
	p := &consumerProxy{nc, newConsumerSlots(js, s.cfg.Log)}
	sub, err := nc.Subscribe(proxyPrefix+">", func(m *nats.Msg) { m.Respond(p.answerRequest(m)) })
	if err != nil {
		return fmt.Errorf("open to readers: %w", err)
	}
	return errors.Join(sub.SetPendingLimits(queueMax, queueMax*requestMax), nc.FlushTimeout(proxyAnswerAfter))
}

// createRequest is the body of a request for a consumer.
type createRequest struct {
	Stream   string                   `json:"stream_name"`
	Config   jetstream.ConsumerConfig `json:"config"`
	Action   string                   `json:"action,omitempty"`
	Pedantic bool                     `json:"pedantic,omitempty"`
}

func (p *consumerProxy) answerRequest(m *nats.Msg) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), proxyAnswerAfter)
	defer cancel()
	request := strings.TrimPrefix(m.Subject, proxyPrefix)
	client := clientOf(m)
	body, err := p.checkRequest(ctx, request, m.Data, client)
	if err != nil {
		return errorAnswer(400, err)
	}
	answer, err := p.nc.RequestWithContext(ctx, apiPrefix+request, body)
	if err != nil {
		return errorAnswer(503, err)
	}
	stream, _ := splitRequest(request)
	p.slots.recordMaker(stream, client, answer.Data)
	return answer.Data
}

// checkRequest returns the body to pass on.
func (p *consumerProxy) checkRequest(ctx context.Context, request string, body []byte, client netip.Prefix) ([]byte, error) {
	r, err := parseCreateRequest(request, body)
	if err != nil {
		return nil, err
	}
	stream, name := splitRequest(request)
	if err := p.slots.freeSlot(ctx, stream, name, client); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// parseCreateRequest parses a request, and refuses what is not for readers.
func parseCreateRequest(request string, body []byte) (*createRequest, error) {
	if len(body) > requestMax {
		return nil, fmt.Errorf("request of %d bytes: want at most %d", len(body), requestMax)
	}
	var r createRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	_, name := splitRequest(request)
	cfg := &r.Config
	switch {
	case cfg.DeliverSubject != "" || cfg.DeliverGroup != "":
		return nil, errors.New("push consumers are not for readers: use a pull consumer")
	case slices.ContainsFunc([]string{name, cfg.Name, cfg.Durable}, func(n string) bool { return slices.Contains(OwnConsumers, n) }):
		return nil, errors.New("this consumer name is taken by Pulse itself")
	case cfg.MaxAckPending < 0 || cfg.MaxAckPending > unackedMax:
		return nil, fmt.Errorf("max_ack_pending %d: want 1 to %d, or 0 for the default", cfg.MaxAckPending, unackedMax)
	case cfg.MaxWaiting < 0 || cfg.MaxWaiting > waitingMax:
		return nil, fmt.Errorf("max_waiting %d: want 1 to %d, or 0 for the default", cfg.MaxWaiting, waitingMax)
	}
	if cfg.Durable != "" && cfg.InactiveThreshold <= 0 || cfg.InactiveThreshold > unusedMax {
		cfg.InactiveThreshold = unusedMax
	}
	return &r, nil
}

// splitRequest returns the stream and, if it has one, the consumer's name of a request:
// CONSUMER.CREATE.STREAM, CONSUMER.CREATE.STREAM.NAME with or without .FILTER, or
// CONSUMER.DURABLE.CREATE.STREAM.NAME.
func splitRequest(request string) (stream, name string) {
	_, rest, _ := strings.Cut(request, "CREATE.")
	stream, rest, _ = strings.Cut(rest, ".")
	name, _, _ = strings.Cut(rest, ".")
	return stream, name
}

func errorAnswer(code int, reason error) []byte {
	answer, err := json.Marshal(map[string]any{
		"type":  "io.nats.jetstream.api.v1.consumer_create_response",
		"error": jetstream.APIError{Code: code, Description: reason.Error()},
	})
	if err != nil {
		return nil
	}
	return answer
}
