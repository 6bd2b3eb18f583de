package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// sender sends on one session of the remote and collects what becomes of the messages:
// answers, and round trips, after which the server has handed on all that was
// sent before. An acknowledgement is always asked for. It is for one forwarder.
type sender struct {
	*remote.Session
	inbox   string
	began   time.Time
	kinds   []string        // patterns of subjects, by number
	quiet   map[string]bool // kinds that nobody acknowledges, and none ever did
	number  uint64          // of the last message sent
	flight  map[uint64]*sending
	handled uint64 // up to here, it is known that the server has handed them on
	pinging atomic.Bool

	heard   bool      // it has answered which streams there are, or failed to
	none    bool      // the server said that it has no other streams for us than those it listed
	asked   time.Time // when its streams were asked for last
	listing atomic.Bool

	mu      sync.Mutex
	acks    []ack
	tripped uint64 // all up to this number were handed on
	listed  *streamList
	news    chan struct{}
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
	nobody  bool // it said that nobody is there to answer
}

func newSender(s *remote.Session) (*sender, error) {
	to := &sender{Session: s, inbox: s.Conn.NewInbox(), began: time.Now(), quiet: make(map[string]bool),
		flight: make(map[uint64]*sending), news: make(chan struct{}, 1)}
	sub, err := s.Conn.Subscribe(to.inbox+".*", to.answered)
	if err != nil {
		return nil, fmt.Errorf("set up sending: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // there are no more answers than messages under way
		return nil, fmt.Errorf("set up sending: %w", err)
	}
	return to, nil
}

func (s *sender) answered(m *nats.Msg) {
	a, ok := readAck(s.inbox, m)
	if !ok {
		return
	}
	s.mu.Lock()
	s.acks = append(s.acks, a)
	s.mu.Unlock()
	s.wake()
}

func (s *sender) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// takeNews returns what was answered since the last call, and up to which number
// all messages were handed on.
func (s *sender) takeNews() ([]ack, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acks := s.acks
	s.acks = nil
	return acks, s.tripped
}

// kind is the number of a pattern.
func (s *sender) kind(pattern string) int {
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

// send sends one message.
func (s *sender) send(q *queue, e entry, kind string, late bool) error {
	k := s.kind(kind)
	s.number++
	msg := &nats.Msg{Subject: e.msg.Subject, Reply: ackSubject(s.inbox, k, s.number), Header: e.msg.Header, Data: e.msg.Data}
	if err := s.Conn.PublishMsg(msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("%d bytes are more than the server takes, %d: %w", len(e.msg.Data), s.Conn.MaxPayload(), err)
		}
		return fmt.Errorf("send %s: %w", e.msg.Subject, err)
	}
	s.flight[s.number] = &sending{queue: q, entry: e, kind: k, at: time.Now(), bytes: len(e.msg.Data), late: late}
	return nil
}

// roundTrip waits in a goroutine of its own until the server has handed on what was
// sent so far. One runs at a time. A server that does not answer ends the session.
func (s *sender) roundTrip(ctx context.Context, wait time.Duration, running *sync.WaitGroup) {
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
		s.wake()
	})
}
