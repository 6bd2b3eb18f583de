package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/time/rate"
)

// Name is that of the service, and what its subjects begin with.
const Name = "pulse"

// What may wait at one endpoint to be looked at. It is looked at so quickly
// that only a flood gets there; what is beyond is dropped.
const (
	pendingRequests = 16 << 10
	pendingBytes    = 4 << 20
)

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

// Config says who answers, and about what.
type Config struct {
	Node    string // one NATS token
	Version string // of the software, as https://semver.org has it
	Fleet   Fleet
	Clock   *detector.Clock
	Status  func() any // how the node is doing, to be shown as JSON
	Log     *slog.Logger
}

// Service answers questions. See [Service.Serve].
type Service struct {
	cfg   Config
	pings *rate.Limiter
	said  complaints
}

// New returns a service that answers nothing yet.
func New(cfg Config) *Service {
	return &Service{cfg: cfg, pings: rate.NewLimiter(pingRate, pingBurst), said: complaints{log: cfg.Log}}
}

// Serve answers what comes in on a connection, until ctx ends or the
// connection closes. It returns when nothing is under way any more. The fleet must
// not end before ctx does: its last pages would be missing in an answer.
func (s *Service) Serve(ctx context.Context, nc *nats.Conn) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(c *nats.Conn, sub *nats.Subscription, err error) {
		s.said.hear(sub, err)
		if before != nil {
			before(c, sub, err)
		}
	})
	defer nc.SetErrorHandler(before)
	closed := make(chan struct{})
	service, err := micro.AddService(nc, micro.Config{Name: Name, Version: s.cfg.Version,
		Description: "The agents of a Wazuh manager as Pulse knows them",
		Metadata:    map[string]string{"node": s.cfg.Node}, QueueGroupDisabled: true,
		DoneHandler: func(micro.Service) { close(closed) }})
	if err != nil {
		return fmt.Errorf("register the micro service %s: %w", Name, err)
	}
	t := newTable(ctx, s, nc)
	defer t.clear()
	defer end()
	if err := t.lay(service); err != nil {
		return errors.Join(fmt.Errorf("register the micro service %s: %w", Name, err), service.Stop())
	}
	select {
	case <-ctx.Done():
	case <-closed:
	}
	if err := service.Stop(); err != nil && !nc.IsClosed() {
		return fmt.Errorf("end the micro service %s: %w", Name, err)
	}
	return nil
}

// endpoints are those of the service, by the tokens behind pulse or pulse.NODE.
var endpoints = []struct {
	subject, name string
	answer        func(*table, *question)
}{
	{"agents.list", "agents-list", (*table).list},
	{"agents.get", "agents-get", (*table).get},
	{"agents.ping", "agents-ping", (*table).ping},
	{"status", "status", (*table).status},
}

// lay registers every endpoint under both its subjects. They cannot be mistaken
// for each other, whatever the node's name: one has a token more, and no
// endpoint is called like another with a token before it.
func (t *table) lay(service micro.Service) error {
	for _, e := range endpoints {
		for _, own := range []bool{false, true} {
			name, subject := e.name, Name+"."+e.subject
			if own {
				name, subject = "node-"+e.name, Name+"."+t.cfg.Node+"."+e.subject
			}
			handle := micro.HandlerFunc(func(r micro.Request) {
				if q := t.question(r, own); q != nil {
					e.answer(t, q)
				}
			})
			if err := service.AddEndpoint(name, handle, micro.WithEndpointSubject(subject),
				micro.WithEndpointPendingLimits(pendingRequests, pendingBytes)); err != nil {
				return fmt.Errorf("endpoint %s: %w", subject, err)
			}
		}
	}
	return nil
}

// held are for how long a node that has nothing good to say about an agent
// waits, for another to say something better: it knows the agent, but it is not
// connected here; it does not know it.
const (
	holdAbsent  = 250 * time.Millisecond
	holdUnknown = 500 * time.Millisecond
)
