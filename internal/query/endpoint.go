package query

import (
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// What may wait at one subject to be looked at. It is looked at so quickly
// that only a flood gets there; what is beyond is dropped.
const (
	pendingRequests = 16 << 10
	pendingBytes    = 4 << 20
)

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

// lay subscribes to every endpoint under both its subjects, and to what the
// service is found by. The subjects cannot be mistaken for each other, whatever the
// node's name: one has a token more, and no endpoint is called like another
// with a token before it.
func (t *table) lay() error {
	for _, e := range endpoints {
		for _, own := range []bool{false, true} {
			count := &tally{name: e.name, subject: Name + "." + e.subject}
			if own {
				count = &tally{name: "node-" + e.name, subject: Name + "." + t.cfg.Node + "." + e.subject}
			}
			t.tallies = append(t.tallies, count)
			if err := t.hear(count.subject, func(m *nats.Msg) {
				e.answer(t, &question{Msg: m, nc: t.nc, own: own, tally: count, seal: t.cfg.Seal, asked: time.Now()})
			}); err != nil {
				return err
			}
		}
	}
	return t.beFound()
}

// hear looks at what comes in on a subject, one after the other.
func (t *table) hear(subject string, look func(*nats.Msg)) error {
	sub, err := t.nc.Subscribe(subject, func(m *nats.Msg) {
		if t.enter() {
			defer t.running.Done()
			if t.answerable(m) {
				look(m)
			}
		}
	})
	if err == nil {
		t.subs = append(t.subs, sub)
		err = sub.SetPendingLimits(pendingRequests, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return nil
}

// tally counts what is asked and answered at an endpoint.
type tally struct {
	name, subject string

	mu       sync.Mutex
	requests int
	errors   int
	last     string // error
	spent    time.Duration
}

// add counts an answer, which was a refusal unless that is nil.
func (y *tally) add(r *refusal, spent time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.requests++
	y.spent += spent
	if r != nil {
		y.errors++
		y.last = fmt.Sprintf("%d:%s", r.code, r.text)
	}
}

func (y *tally) stats() *micro.EndpointStats {
	y.mu.Lock()
	defer y.mu.Unlock()
	return &micro.EndpointStats{Name: y.name, Subject: y.subject, NumRequests: y.requests, NumErrors: y.errors, LastError: y.last,
		ProcessingTime: y.spent, AverageProcessingTime: y.spent / time.Duration(max(y.requests, 1))}
}
