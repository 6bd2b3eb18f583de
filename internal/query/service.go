// Package query answers requests about the fleet over NATS: a micro service by
// the name of pulse, with endpoints to list agents, to get one, to ping one,
// and to get the node's status.
//
// Every endpoint has two subjects, one of all nodes (pulse.agents.get) and one
// of this node (pulse.NODE.agents.get). There is no queue group: each node
// knows its own agents best, and those of other nodes only in a cluster, so each
// has to receive a request to all. For the first answer to be the right one, a
// node delays an answer that another node may have a better one for.
//
// Requests are bounded: in size, in how many wait, in how many are handled at
// once, and in how many agents are pinged. Requests beyond that are refused
// with an answer; only a flood beyond all limits is dropped, and logged.
//
// [Service.Serve] answers requests on one connection until that ends. It may
// be called for several connections, one after the other or at once; all
// methods are safe for concurrent use.
package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/view"
	"golang.org/x/time/rate"
)

// Name is the name of the service and the first token of its subjects.
const Name = "pulse"

// How many requests of each kind are handled at once on one connection. More are
// refused.
const (
	maxLists    = 64  // of which maxScans read the fleet, each a page at a time
	maxScans    = 2   // each page interrupts the detector for a moment
	maxStatuses = 64  // one at a time: it is expensive
	maxDelayed  = 256 // delayed answers
	maxPings    = 256
)

// Pings of all clients together. Each agent receives one a second at most.
const (
	pingRate  = 100 // a second
	pingBurst = 200
)

// Fleet is the detector, or the fleet of a cluster.
type Fleet interface {
	Page(n int) (page []detector.Record, more bool)
	Agent(id detector.AgentID) (detector.Record, bool)
	Ping(ctx context.Context, id detector.AgentID) (detector.Answer, error)
}

// Seal signs and encrypts an answer, bound to its request, and returns the
// message's data and headers.
type Seal func(asked Request, answer []byte) (data []byte, header map[string][]string, err error)

// Request is a request as received.
type Request struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Config configures a service.
type Config struct {
	Node    string // one NATS token
	Version string // of the software, as https://semver.org has it
	Fleet   Fleet
	Clock   *detector.Clock
	Status  func() any // the node's status, to be encoded as JSON

	Nodes    func() view.NodeList // of the cluster; nil outside one
	Silences func() silence.List
	Seal     Seal // nil: answers are neither signed nor encrypted
	Log      *slog.Logger
}

// Service answers requests. See [Service.Serve].
type Service struct {
	cfg      Config
	pings    *rate.Limiter
	warnings rateLimitedLog

	absentDelay, unknownDelay time.Duration // absentAnswerDelay and unknownAnswerDelay, except in tests
}

// New returns a service that does not serve a connection yet.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, pings: rate.NewLimiter(pingRate, pingBurst), warnings: rateLimitedLog{log: cfg.Log},
		absentDelay: absentAnswerDelay, unknownDelay: unknownAnswerDelay}
}

// Serve answers requests on a connection until ctx ends or the connection
// closes. It returns when all requests have been handled. The fleet must not
// end before ctx does: its last pages would be missing in an answer.
func (s *Service) Serve(ctx context.Context, nc *nats.Conn) error {
	ctx, end := context.WithCancel(ctx)
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(c *nats.Conn, sub *nats.Subscription, err error) {
		s.warnings.logSlowConsumer(sub, err)
		if before != nil {
			before(c, sub, err)
		}
	})
	defer nc.SetErrorHandler(before)
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	conn := newConnection(ctx, s, nc)
	defer conn.stopAndWait()
	defer end() // first
	if err := conn.subscribeAllEndpoints(); err != nil {
		return fmt.Errorf("register the micro service %s: %w", Name, err)
	}
	select {
	case <-ctx.Done():
	case <-closed:
	}
	return nil
}

// rateLimitedLog logs problems of requests, each at most once a minute.
// Refused subscriptions are logged by the connection.
type rateLimitedLog struct {
	log     *slog.Logger
	flooded logonce.Limiter
	lost    logonce.Limiter
}

// logSlowConsumer handles an error of the NATS connection, which others may
// use too: it ignores subscriptions that are not the service's.
func (c *rateLimitedLog) logSlowConsumer(sub *nats.Subscription, err error) {
	ours := sub != nil && (strings.HasPrefix(sub.Subject, Name+".") || strings.HasPrefix(sub.Subject, micro.APIPrefix+"."))
	if !ours || !errors.Is(err, nats.ErrSlowConsumer) {
		return
	}
	if _, ok := c.flooded.Allow(); ok {
		c.log.Warn("requests dropped: they arrive faster than they are handled", "subject", sub.Subject)
	}
}

func (c *rateLimitedLog) logNoInbox(reply string) {
	if _, ok := c.lost.Allow(); ok {
		c.log.Warn("a request is not answered: its reply subject is no inbox, which begins with _", "reply", reply[:min(len(reply), 100)])
	}
}
