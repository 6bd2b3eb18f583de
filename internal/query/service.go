package query

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/time/rate"
)

// Name is that of the service, and what its subjects begin with.
const Name = "pulse"

// What may be under way on one connection at a time, of each kind. Beyond that,
// requests are refused.
const (
	listsMax  = 64  // of which scansMax read the fleet, each a page at a time
	scansMax  = 2   // they keep the detector from its work for a moment per page
	statusMax = 64  // of which one is worked on: the node counts a lot for it
	heldMax   = 256 // answers that wait for a better one of another node
	pingsMax  = 256
)

// Pings of all clients together. An agent itself hears of one a second at most,
// by [detector.Table.Hasten].
const (
	pingRate  = 100 // a second
	pingBurst = 200
)

// Fleet is what questions are about: the detector.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error)
}

// Seal makes of the answer to a question what is sent, with its headers: bound to the
// question, signed, and encrypted for the recipients of messages.
type Seal func(asked Request, answer []byte) (data []byte, header map[string][]string, err error)

// Request is a question as it came.
type Request struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Config says who answers, and about what.
type Config struct {
	Node    string // one NATS token
	Version string // of the software, as https://semver.org has it
	Fleet   Fleet
	Clock   *detector.Clock
	Status  func() any // how the node is doing, to be shown as JSON
	Seal    Seal       // nil: answers are in the clear
	Log     *slog.Logger
}

// Service answers questions. See [Service.Serve].
type Service struct {
	cfg   Config
	pings *rate.Limiter
	said  complaints

	absent, stranger time.Duration // holdAbsent and holdUnknown, but for tests
}

// New returns a service that answers nothing yet.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, pings: rate.NewLimiter(pingRate, pingBurst), said: complaints{log: cfg.Log},
		absent: holdAbsent, stranger: holdUnknown}
}

// Serve answers what comes in on a connection, until ctx ends or the
// connection closes. It returns when nothing is under way any more. The fleet must
// not end before ctx does: its last pages would be missing in an answer.
func (s *Service) Serve(ctx context.Context, nc *nats.Conn) error {
	ctx, end := context.WithCancel(ctx)
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(c *nats.Conn, sub *nats.Subscription, err error) {
		s.said.hear(sub, err)
		if before != nil {
			before(c, sub, err)
		}
	})
	defer nc.SetErrorHandler(before)
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	t := newTable(ctx, s, nc)
	defer t.clear()
	defer end() // first
	if err := t.lay(); err != nil {
		return fmt.Errorf("register the micro service %s: %w", Name, err)
	}
	select {
	case <-ctx.Done():
	case <-closed:
	}
	return nil
}
