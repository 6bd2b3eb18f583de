package republisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// windowMax is how many events are under way to the server at once.
const windowMax = 256

// The reasons why an event is not stored, beside those of the server.
var (
	errNoStream  = errors.New("no stream of the NATS server takes them at present")
	errNoAnswer  = errors.New("no stream of the NATS server acknowledges them")
	errBadAnswer = errors.New("the NATS server answered with something that is no acknowledgement")
)

// sender sends events on one session.
type sender struct {
	*remote.Session
	inbox   string
	number  uint64 // of the last event that was sent
	answers chan *nats.Msg
	sub     *nats.Subscription
	wait    time.Duration // for an answer
}

func newSender(session *remote.Session, wait time.Duration) (*sender, error) {
	s := &sender{Session: session, inbox: session.Conn.NewInbox(), answers: make(chan *nats.Msg, 8*windowMax), wait: wait}
	var err error
	if s.sub, err = session.Conn.ChanSubscribe(s.inbox+".*", s.answers); err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	return s, nil
}

func (s *sender) close() { _ = s.sub.Unsubscribe() } // of a connection that may have ended

// sendRound sends the first event of each subject, as many as may be under way at once, and
// waits for the answers. It returns the events that are not stored, in their order, and why
// the first of those that were sent is not.
func (s *sender) sendRound(ctx context.Context, events []outgoing) (left []outgoing, err error) {
	sent := make(map[uint64]int) // number: index in events
	busy := make(map[string]bool)
	for i := range events {
		if len(sent) == windowMax {
			break
		}
		if e := &events[i]; !busy[e.subject] {
			busy[e.subject] = true
			s.number++
			reply := s.inbox + "." + strconv.FormatUint(s.number, 10)
			if err := s.Conn.PublishMsg(&nats.Msg{Subject: e.subject, Reply: reply, Header: e.header, Data: e.data}); err != nil {
				return events, fmt.Errorf("publish to %s: %w", e.subject, err)
			}
			sent[s.number] = i
		}
	}
	stored, err := s.collectAnswers(ctx, events, sent)
	for i := range events {
		if !stored[i] {
			left = append(left, events[i])
		}
	}
	return left, err
}

// collectAnswers waits until each of the sent events is answered. It returns the indexes of
// those that are stored.
func (s *sender) collectAnswers(ctx context.Context, events []outgoing, sent map[uint64]int) (stored map[int]bool, err error) {
	stored = make(map[int]bool)
	timeout := time.NewTimer(s.wait)
	defer timeout.Stop()
	for len(sent) > 0 {
		select {
		case m := <-s.answers:
			number, problem, ok := parseAnswer(s.inbox, s.JetStreamDomain(), m)
			i, waits := sent[number]
			if !ok || !waits {
				continue
			}
			delete(sent, number)
			if problem == nil {
				stored[i] = true
			} else if err == nil {
				err = fmt.Errorf("publish to %s: %w", events[i].subject, problem)
			}
		case <-s.Ended():
			return stored, s.Reason()
		case <-ctx.Done():
			return stored, ctx.Err()
		case <-timeout.C:
			return stored, s.explainSilence(events, sent)
		}
	}
	return stored, err
}

// explainSilence returns why events have no answer: the server reports a refused subject apart from it.
func (s *sender) explainSilence(events []outgoing, sent map[uint64]int) error {
	err := errNoAnswer
	for _, i := range sent {
		if refused := s.TakeRefusal(events[i].subject); refused != nil {
			err = refused
		}
	}
	return err
}

// parseAnswer parses an answer of the server. ok is false if it is not about one of our
// events, or of a stream of another domain.
func parseAnswer(inbox string, domain jsdomain.Domain, m *nats.Msg) (number uint64, problem error, ok bool) {
	token, ok := strings.CutPrefix(m.Subject, inbox+".")
	if !ok {
		return 0, nil, false
	}
	number, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		return 0, nil, false
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return number, errNoStream, true
	}
	var body struct {
		Stream   string              `json:"stream"`
		Domain   string              `json:"domain"`
		Sequence uint64              `json:"seq"`
		Error    *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &body); {
	case err != nil:
		return number, fmt.Errorf("%w: %.40q", errBadAnswer, m.Data), true
	case body.Error != nil:
		return number, body.Error, true
	case body.Stream == "" || body.Sequence == 0:
		return number, fmt.Errorf("%w: %.40q", errBadAnswer, m.Data), true
	}
	return number, nil, domain.Acknowledges(body.Domain)
}
