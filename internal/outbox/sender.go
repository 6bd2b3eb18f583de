package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// learnInterval is how often the remote's streams are looked up anew: one made
// meanwhile stores our messages, but is not yet asked to acknowledge them.
const learnInterval = time.Minute

// sender sends on one session of the remote. It is for one forwarder.
type sender struct {
	*remote.Session
	js      jetstream.JetStream
	wait    time.Duration // for confirmations
	takes   *takers
	learned time.Time
}

func newSender(s *remote.Session, wait time.Duration) (*sender, error) {
	js, err := jetstream.New(s.Conn, jetstream.WithPublishAsyncTimeout(wait))
	if err != nil {
		return nil, fmt.Errorf("set up sending: %w", err)
	}
	return &sender{Session: s, js: js, wait: wait}, nil
}

// takers are the subjects which the remote's streams take, and whose messages
// are therefore acknowledged. known is false when the remote did not tell.
type takers struct {
	known    bool
	subjects []string
}

func (t *takers) acknowledge(subject string) bool {
	if !t.known {
		return true
	}
	for _, pattern := range t.subjects {
		if matches(pattern, subject) {
			return true
		}
	}
	return false
}

// learn asks the remote which of its streams take subjects under prefix. A
// remote without JetStream has none.
func (s *sender) learn(ctx context.Context, prefix string) {
	if !s.learned.IsZero() && time.Since(s.learned) < learnInterval {
		return
	}
	s.learned = time.Now()
	ctx, cancel := context.WithTimeout(ctx, min(s.wait, 2*time.Second))
	defer cancel()
	t := &takers{known: true}
	list := s.js.ListStreams(ctx, jetstream.WithStreamListSubject(prefix+".>"))
	for info := range list.Info() {
		if !info.Config.NoAck {
			t.subjects = append(t.subjects, info.Config.Subjects...)
		}
	}
	switch err := list.Err(); {
	case err == nil:
	case errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		t.subjects = nil
	default:
		t = &takers{} // no right to ask, or no answer
	}
	s.takes = t
}

// errUntold explains a missing acknowledgement that may have been too much to ask.
var errUntold = errors.New("the server did not say which subjects its streams take: let this user publish to $JS.API.STREAM.LIST")

// outcome is what became of a batch.
type outcome struct {
	settled int          // of its messages, counted from the start: confirmed or refused
	refused []deadLetter // in order
}

// deadLetter is a message that the remote will not take, whatever is done again.
type deadLetter struct {
	Stored
	reason error
}

// send publishes batch and waits for its confirmation: the acknowledgement of
// the stream that takes it, or else a round trip, after which the server has
// handed it to all who subscribe. The error says why not all of it is settled.
func (s *sender) send(ctx context.Context, batch []Stored) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	takes := s.takes
	acks, tooLarge := make([]jetstream.PubAckFuture, len(batch)), make(map[int]error)
	for i, m := range batch {
		msg := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
		var err error
		if takes.acknowledge(m.Subject) {
			acks[i], err = s.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
		} else {
			err = s.Conn.PublishMsg(msg)
		}
		if errors.Is(err, nats.ErrMaxPayload) {
			tooLarge[i] = fmt.Errorf("%d bytes are more than the server takes, %d", len(m.Data), s.Conn.MaxPayload())
		} else if err != nil {
			return outcome{}, fmt.Errorf("send %s: %w", m.Subject, err)
		}
	}
	if err := s.RoundTrip(ctx); err != nil {
		return outcome{}, err
	}
	refused := make(map[string]error)
	for i := range batch {
		if err := s.TakeRefusal(batch[i].Subject); err != nil {
			refused[batch[i].Subject] = err
		}
	}
	var done outcome
	for i, m := range batch {
		reason := tooLarge[i]
		if reason == nil {
			reason = refused[m.Subject]
		}
		if reason == nil && acks[i] != nil {
			err := s.await(ctx, acks[i])
			if err != nil && !exceedsMaximum(err) {
				if !takes.known {
					err = fmt.Errorf("%w; %w", err, errUntold)
				}
				return done, fmt.Errorf("confirm %s: %w", m.Subject, err)
			}
			reason = err
		}
		if reason != nil {
			done.refused = append(done.refused, deadLetter{m, reason})
		}
		done.settled++
	}
	return done, nil
}

// messageTooLarge is JetStream's error code for a message beyond the stream's own limit.
const messageTooLarge jetstream.ErrorCode = 10054

func exceedsMaximum(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == messageTooLarge
}

func (s *sender) await(ctx context.Context, ack jetstream.PubAckFuture) error {
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	case <-s.Ended(): // the client library would let us wait for the time to run out
		return s.Reason()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// matches says whether a NATS subject is within pattern ("*" is one token, a
// last ">" all that follow, at least one).
func matches(pattern, subject string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		s, sRest, sMore := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s, pMore != sMore:
			return false
		case !pMore:
			return true
		}
		pattern, subject = pRest, sRest
	}
}
