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

// send publishes batch and waits for its confirmation: the acknowledgement of
// the stream that takes it, or else a round trip, after which the server has
// handed it to all who subscribe. It returns how many of batch, counted from
// its start, are confirmed, and why not all.
func (s *sender) send(ctx context.Context, batch []Stored) (confirmed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	takes := s.takes
	acks := make([]jetstream.PubAckFuture, len(batch))
	for i, m := range batch {
		msg := &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
		if takes.acknowledge(m.Subject) {
			acks[i], err = s.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
		} else {
			err = s.Conn.PublishMsg(msg)
		}
		if err != nil {
			return 0, fmt.Errorf("send %s: %w", m.Subject, err)
		}
	}
	if err := s.roundTrip(ctx); err != nil {
		return 0, err
	}
	for i, ack := range acks {
		if ack == nil {
			continue
		}
		if err := s.await(ctx, ack); err != nil {
			if !takes.known {
				err = errors.Join(err, errUntold)
			}
			return i, fmt.Errorf("confirm %s: %w", batch[i].Subject, err)
		}
	}
	return len(batch), nil
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

// roundTrip returns when the server has read everything sent so far, or an
// error, among them its refusal of a subject: that comes before the answer.
func (s *sender) roundTrip(ctx context.Context) error {
	if err := s.Conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("confirm by round trip: %w", err)
	}
	err := s.Conn.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && !strings.Contains(err.Error(), "$JS.API.") {
		return err
	}
	return nil
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
