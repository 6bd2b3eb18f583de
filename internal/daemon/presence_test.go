package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

// platform is an XDR platform that reads all that its server stores, from the
// beginning, and lets nothing through twice.
type platform struct {
	t        *testing.T
	consumer jetstream.Consumer
	guard    *seal.Guard
	epochs   []uint64 // of the nodes, in the order in which their messages came
	changes  map[uint64]map[string]int
}

func follow(t *testing.T, xdr *server.Server) *platform {
	t.Helper()
	consumer, err := stored(t, xdr).OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &platform{t: t, consumer: consumer, guard: seal.NewGuard(seal.GuardConfig{Complete: true}), changes: map[uint64]map[string]int{}}
}

// until reads until it has seen enough. Every message has to be accepted.
func (p *platform) until(what string, enough func(m *receivedMessage) bool) {
	p.t.Helper()
	for {
		stored, err := p.consumer.Next(jetstream.FetchMaxWait(testTimeout))
		if err != nil {
			p.t.Fatalf("no %s: %v", what, err)
		}
		var body struct {
			receivedMessage
			Security event.Security `json:"security"`
		}
		if err := json.Unmarshal(stored.Data(), &body); err != nil {
			p.t.Fatal(err)
		}
		m := body.receivedMessage
		m.Security, m.Subject = body.Security, stored.Subject()
		if _, err := p.guard.Check(&m.Security, time.Now()); err != nil {
			p.t.Errorf("refused: %v: %s", err, stored.Data())
		}
		if n := len(p.epochs); n == 0 || p.epochs[n-1] != m.Epoch {
			p.epochs = append(p.epochs, m.Epoch)
		}
		if m.Change != nil {
			if p.changes[m.Epoch] == nil {
				p.changes[m.Epoch] = map[string]int{}
			}
			p.changes[m.Epoch][m.Change.AgentName]++
		}
		if enough(&m) {
			return
		}
	}
}

// active fits the status change by which an agent is active.
func active(name string) func(*receivedMessage) bool {
	return func(m *receivedMessage) bool {
		return m.Change != nil && m.Change.AgentName == name && m.Change.CurrentStatus == event.Active
	}
}

// twins are two nodes of one name, each with an agent of its own, at one server.
func twins(t *testing.T, xdr *server.Server, open func(first, second func() *testNode)) (a, b *testNode) {
	t.Helper()
	one := func(into **testNode, keys string) func() *testNode {
		cfg := testSettings(t)
		cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = xdr.ClientURL(), 50*time.Millisecond
		cfg.KeepAlive.Interval = time.Second // few messages
		writeKeys(t, cfg, keys)
		return func() *testNode {
			h := &testNode{t: t, log: new(logbook), ended: make(chan error, 1)}
			var err error
			if h.node, err = Open(t.Context(), cfg, "1.2.3", slog.New(h.log)); err != nil {
				t.Error(err)
				return nil
			}
			h.ctx, h.cancel = context.WithCancel(context.Background())
			h.startNode()
			*into = h
			return h
		}
	}
	open(one(&a, "001 one any K\n"), one(&b, "001 two any K\n"))
	if t.Failed() {
		t.FailNow()
	}
	return a, b
}

func TestOfTwoNodesOfOneNameTheYoungerPublishesWhenTheOlderHasGone(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	p := follow(t, xdr)
	older, younger := twins(t, xdr, func(first, second func() *testNode) {
		first().awaitNATS(event.NATSConnected)
		second()
	})
	older.startAgents("001 one any K\n")
	younger.startAgents("001 two any K\n")
	younger.awaitAnswer("/healthz", 503, "another node is called node01, on host")
	younger.awaitAnswer("/metrics", 200, `pulse_condition{code="name_taken"} 1`)
	younger.awaitAnswer("/api/v1/status", 200, `"problem": "name_taken"`)
	older.awaitAnswer("/healthz", 200, "it publishes nothing while this one is there")
	older.awaitAnswer("/metrics", 200, `pulse_condition{code="name_shared"} 1`)
	alerted, changed := false, false
	p.until("alert about the other node, and active agent of the older", func(m *receivedMessage) bool {
		alerted = alerted || m.Condition != nil && m.Condition.Code == "name_shared"
		changed = changed || active("one")(m)
		return alerted && changed
	})
	if _, _, err := conditionOf(younger, "name_taken"); err != nil {
		t.Error(err)
	}
	if len(p.epochs) != 1 || len(p.changes[p.epochs[0]]) != 1 {
		t.Errorf("messages of epochs %v, with changes %v", p.epochs, p.changes)
	}
	if err := older.stop(); err != nil {
		t.Fatal(err)
	}
	p.until("active agent of the younger node", active("two"))
	younger.awaitAnswer("/healthz", 200, "ok")
	p.whole(older, younger)
}

func TestTwoNodesOfOneNameThatStartInTheSameSecondHaveEpochsOfTheirOwn(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	p := follow(t, xdr)
	a, b := twins(t, xdr, func(first, second func() *testNode) {
		var opening sync.WaitGroup
		opening.Go(func() { first() })
		opening.Go(func() { second() })
		opening.Wait()
	})
	agents := map[*testNode]string{a: "one", b: "two"}
	a.startAgents("001 one any K\n")
	b.startAgents("001 two any K\n")
	first, second := a, b
	if held := awaitHeld(t, a, b); held == a {
		first, second = b, a
	}
	p.until("active agent", active(agents[first]))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	p.until("active agent of the one that waited", active(agents[second]))
	p.whole(first, second)
}

// whole checks that nothing came of the second node before all of the first, and
// that nothing is missing.
func (p *platform) whole(first, second *testNode) {
	p.t.Helper()
	if want := []uint64{first.node.Status().Epoch, second.node.Status().Epoch}; fmt.Sprint(p.epochs) != fmt.Sprint(want) {
		p.t.Errorf("messages of epochs %v, want %v", p.epochs, want)
	}
	if gaps := p.guard.Gaps(); len(gaps) > 0 {
		p.t.Errorf("missing: %+v", gaps)
	}
}

// awaitHeld returns the one of two nodes that waits.
func awaitHeld(t *testing.T, nodes ...*testNode) *testNode {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(testTimeout); ; {
		for _, h := range nodes {
			if o := h.node.Status().OtherNode; o != nil && o.GoesFirst {
				return h
			}
		}
		select {
		case <-look.C:
		case <-deadline:
			t.Fatal("none of the nodes waits")
		}
	}
}

func conditionOf(h *testNode, code string) (c Condition, all []Condition, err error) {
	all = h.node.Status().Conditions
	for _, c := range all {
		if c.Code == code {
			return c, all, nil
		}
	}
	return c, all, fmt.Errorf("no condition %s in %v", code, all)
}

func TestANodeThatMayNotLookForOthersWarnsOfIt(t *testing.T) {
	t.Parallel()
	xdr := far(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"pulse.*.presence"}}}}}
		o.NoAuthUser = "u"
	})
	cfg := testSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	h.awaitNATS(event.NATSConnected)
	h.awaitAnswer("/healthz", 200, "whether another node is called node01 is not known")
	c, _, err := conditionOf(h, "name_unwatched")
	if err != nil || c.Failure || !strings.Contains(c.Problem, `may not publish to \"pulse.node01.presence\"`) && !strings.Contains(c.Problem, `may not publish to "pulse.node01.presence"`) {
		t.Errorf("%+v, %v", c, err)
	}
}
