package query

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
)

// How many requests may wait on one subject, and their bytes. They are taken so
// quickly that only a flood reaches these limits; requests beyond are dropped.
const (
	pendingRequests = 16 << 10
	pendingBytes    = 4 << 20
)

// endpoints are the endpoints of the service, by the tokens after pulse or pulse.NODE.
var endpoints = []struct {
	subject, name string
	answer        func(*connection, *request)
}{
	{"agents.list", "agents-list", handleParsed(parseListRequest, (*connection).handleListRequest)},
	{"agents.get", "agents-get", handleParsed(parseGetRequest, (*connection).handleGetRequest)},
	{"agents.ping", "agents-ping", handleParsed(parsePingRequest, (*connection).handlePingRequest)},
	{"agents.silences", "agents-silences", handleParsed(parseSilencesRequest, (*connection).handleSilencesRequest)},
	{"status", "status", handleParsed(parseStatusRequest, (*connection).handleStatusRequest)},
	{nodesSubject, "nodes", handleParsed(parseStatusRequest, (*connection).handleNodesRequest)},
}

// nodesSubject is answered in a cluster only.
const nodesSubject = "nodes"

// handleParsed returns what answers the requests that parse accepts, and refuses others.
func handleParsed[T any](parse func(data []byte) (T, error), answer func(*connection, *request, T)) func(*connection, *request) {
	return func(c *connection, q *request) {
		if want, err := parse(q.Data); err != nil {
			q.sendRefusal(&refusal{badRequest, err.Error()})
		} else {
			answer(c, q, want)
		}
	}
}

// subscribeAllEndpoints subscribes to both subjects of every endpoint, and to those for
// discovery. No two subjects are equal, whatever the node's name: a node's own
// subject has one token more, and no endpoint's subject ends with another's.
func (c *connection) subscribeAllEndpoints() error {
	for _, e := range endpoints {
		if e.subject == nodesSubject && c.cfg.Nodes == nil {
			continue
		}
		for _, own := range []bool{false, true} {
			count := &endpointStats{name: e.name, subject: Name + "." + e.subject}
			if own {
				count = &endpointStats{name: "node-" + e.name, subject: Name + "." + c.cfg.Node + "." + e.subject}
			}
			c.endpoints = append(c.endpoints, count)
			if err := c.subscribeTo(count.subject, func(m *nats.Msg) {
				e.answer(c, &request{Msg: m, nc: c.nc, own: own, stats: count, seal: c.cfg.Seal, receivedAt: time.Now()})
			}); err != nil {
				return err
			}
		}
	}
	return c.subscribeDiscovery()
}

// subscribeTo handles the messages of a subject one after the other.
func (c *connection) subscribeTo(subject string, handle func(*nats.Msg)) error {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
		if c.beginRequest() {
			defer c.running.Done()
			if c.hasInboxReply(m) {
				handle(m)
			}
		}
	})
	if err == nil {
		c.subs = append(c.subs, sub)
		err = sub.SetPendingLimits(pendingRequests, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return nil
}

// endpointStats counts the requests of an endpoint.
type endpointStats struct {
	name, subject string

	mu       sync.Mutex
	requests int
	errors   int
	last     string // the last error
	spent    time.Duration
}

func (e *endpointStats) countAnswer(r *refusal, spent time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	e.spent += spent
	if r != nil {
		e.errors++
		e.last = fmt.Sprintf("%d:%s", r.code, r.text)
	}
}

func (e *endpointStats) toMicro() *micro.EndpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &micro.EndpointStats{Name: e.name, Subject: e.subject, NumRequests: e.requests, NumErrors: e.errors, LastError: e.last,
		ProcessingTime: e.spent, AverageProcessingTime: e.spent / time.Duration(max(e.requests, 1))}
}

// subscribeDiscovery answers the requests that discover services (NATS
// architecture decision record 32), with the types of the micro package. That
// package's own service would answer to any reply subject with our rights (see
// [connection.hasInboxReply]), and keep half a million requests waiting for each of
// the subjects.
func (c *connection) subscribeDiscovery() error {
	id := micro.ServiceIdentity{Name: Name, ID: nuid.Next(), Version: c.cfg.Version, Metadata: map[string]string{"node": c.cfg.Node}}
	started := time.Now().UTC()
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: id, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any {
			return micro.Info{ServiceIdentity: id, Type: micro.InfoResponseType,
				Description: "The agents of a Wazuh manager as Pulse knows them", Endpoints: c.endpointInfos()}
		},
		micro.StatsVerb: func() any {
			return micro.Stats{ServiceIdentity: id, Type: micro.StatsResponseType, Started: started, Endpoints: c.endpointStats()}
		},
	} {
		for _, of := range [][2]string{{"", ""}, {Name, ""}, {Name, id.ID}} {
			subject, err := micro.ControlSubject(verb, of[0], of[1])
			if err != nil {
				return err
			}
			if err := c.subscribeTo(subject, func(m *nats.Msg) {
				data, _ := json.Marshal(answer())
				_ = m.Respond(data)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *connection) endpointInfos() (list []micro.EndpointInfo) {
	for _, e := range c.endpoints {
		list = append(list, micro.EndpointInfo{Name: e.name, Subject: e.subject})
	}
	return list
}

func (c *connection) endpointStats() (list []*micro.EndpointStats) {
	for _, e := range c.endpoints {
		list = append(list, e.toMicro())
	}
	return list
}
