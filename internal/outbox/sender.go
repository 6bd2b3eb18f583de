package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

// sender sends on one session of the remote and collects the results:
// answers, and round trips, after which the server has handed on all that was
// sent before. An acknowledgement is always asked for. It is for one forwarder.
type sender struct {
	*remote.Session
	inbox      string
	began      time.Time
	kinds      []string        // patterns of subjects, by number
	unanswered map[string]bool // kinds that no stream acknowledges, and none ever did
	number     uint64          // of the last message sent
	flight     map[uint64]*sending
	handled    uint64 // the server has handed on all up to here
	pinging    atomic.Bool

	listAnswered bool      // it has answered which streams there are, or failed to
	listComplete bool      // the server has no other streams for us than those it listed
	asked        time.Time // when its streams were asked for last
	listing      atomic.Bool

	mu       sync.Mutex
	acks     []ack
	tripped  uint64 // all up to this number were handed on
	listed   *streamList
	notified wake.Signal
}

// sending is a message under way.
type sending struct {
	queue   *queue
	entry   entry
	kind    int
	at      time.Time
	bytes   int
	late    bool // it was held before
	tripped bool // the server has handed it on
	nobody  bool // it answered that no stream is there to acknowledge it
}

func newSender(s *remote.Session) (*sender, error) {
	to := &sender{Session: s, inbox: s.Conn.NewInbox(), began: time.Now(), unanswered: make(map[string]bool),
		flight: make(map[uint64]*sending), notified: wake.NewSignal()}
	sub, err := s.Conn.Subscribe(to.inbox+".*", to.handleAnswer)
	if err != nil {
		return nil, fmt.Errorf("set up sending: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // there are no more answers than messages under way
		return nil, fmt.Errorf("set up sending: %w", err)
	}
	return to, nil
}

func (s *sender) handleAnswer(m *nats.Msg) {
	a, ok := parseAck(s.inbox, s.JetStreamDomain(), m)
	if !ok {
		return
	}
	s.mu.Lock()
	s.acks = append(s.acks, a)
	s.mu.Unlock()
	s.notified.Send()
}

// takeAnswers returns what was answered since the last call, and up to which number
// all messages were handed on.
func (s *sender) takeAnswers() ([]ack, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acks := s.acks
	s.acks = nil
	return acks, s.tripped
}

func (s *sender) kindNumber(pattern string) int {
	for i, k := range s.kinds {
		if k == pattern {
			return i
		}
	}
	if len(s.kinds) == 1000 {
		return 0
	}
	s.kinds = append(s.kinds, pattern)
	return len(s.kinds) - 1
}

func (s *sender) sendMessage(q *queue, e entry, kind string, late bool) error {
	k := s.kindNumber(kind)
	s.number++
	msg := &nats.Msg{Subject: e.msg.Subject, Reply: formatAckSubject(s.inbox, k, s.number), Header: e.msg.Header, Data: e.msg.Data}
	if err := s.Conn.PublishMsg(msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("%d bytes are more than the server takes, %d: %w", len(e.msg.Data), s.Conn.MaxPayload(), err)
		}
		return fmt.Errorf("send %s: %w", e.msg.Subject, err)
	}
	s.flight[s.number] = &sending{queue: q, entry: e, kind: k, at: time.Now(), bytes: len(e.msg.Data), late: late}
	return nil
}

// startRoundTrip waits in a goroutine of its own until the server has handed on what was
// sent so far. One runs at a time. A server that does not answer ends the session.
func (s *sender) startRoundTrip(ctx context.Context, wait time.Duration, running *sync.WaitGroup) {
	upTo := s.number
	if s.handled == upTo || !s.pinging.CompareAndSwap(false, true) {
		return
	}
	running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		err := s.RoundTrip(ctx)
		s.pinging.Store(false)
		if err == nil {
			s.mu.Lock()
			s.tripped = max(s.tripped, upTo)
			s.mu.Unlock()
		} else if !errors.Is(ctx.Err(), context.Canceled) {
			s.End(err)
		}
		s.notified.Send()
	})
}

// ack is what the remote answered to a message.
type ack struct {
	number    uint64 // of the sending
	kind      int    // of the subject, by the sender's list
	stream    string // which has the message
	duplicate bool   // the stream had a message of that ID
	err       error  // why it has not
}

// errNoStream is returned when no stream of the remote answers for a subject.
var errNoStream = errors.New("no stream of the NATS server takes this subject at present")

// errBadAck is returned for an answer that is no acknowledgement.
var errBadAck = errors.New("the NATS server answered with something that is no acknowledgement")

// parseAck parses an answer of the remote. ok is false if it is not about one of our messages,
// or of a stream of another domain.
func parseAck(inbox string, domain jsdomain.Domain, m *nats.Msg) (a ack, ok bool) {
	token, ok := strings.CutPrefix(m.Subject, inbox+".")
	kind, number, two := strings.Cut(token, "-")
	if !ok || !two {
		return a, false
	}
	k, kindErr := strconv.ParseUint(kind, 36, 16)
	n, numberErr := strconv.ParseUint(number, 36, 64)
	if kindErr != nil || numberErr != nil {
		return a, false
	}
	a.number, a.kind = n, int(k)
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		a.err = errNoStream
		return a, true
	}
	var body struct {
		Stream    string `json:"stream"`
		Domain    string `json:"domain"`
		Sequence  uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`

		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &body); {
	case err != nil:
		a.err = fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	case body.Error != nil:
		a.err = body.Error
	case body.Stream == "" || body.Sequence == 0:
		a.err = fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	case !domain.Acknowledges(body.Domain):
		return a, false
	default:
		a.stream, a.duplicate = body.Stream, body.Duplicate
	}
	return a, true
}

// formatAckSubject is where the answer to a message goes.
func formatAckSubject(inbox string, kind int, number uint64) string {
	b := make([]byte, 0, len(inbox)+20)
	b = append(b, inbox...)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(kind), 36)
	b = append(b, '-')
	b = strconv.AppendUint(b, number, 36)
	return string(b)
}

// messageTooLarge is JetStream's error code for a message beyond the stream's own limit.
const messageTooLarge jetstream.ErrorCode = 10054

func exceedsStreamLimit(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == messageTooLarge
}
