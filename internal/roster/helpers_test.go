package roster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	prefix   = event.Prefix("wazuh.xdr")
	patience = time.Minute
)

var quick = timing{answerTimeout: 5 * time.Second, retryDelay: 50 * time.Millisecond, checkPeriod: 200 * time.Millisecond, gatherPeriod: 5 * time.Millisecond}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testNode is one that publishes status changes and keeps the roster.
type testNode struct {
	testing.TB
	source message.Source
	dir    string
	outDir string
	out    *outbox.Outbox
	remote *remote.Remote
	roster *Roster
	quick  timing
	latest func() (epoch, sequence uint64)
	log    *testsupport.Log
}

// newNode publishes to a server's address, or with "" has its clients come to it.
func newNode(t testing.TB, name, url string, change ...func(*remote.Config)) *testNode {
	t.Helper()
	n := &testNode{TB: t, source: message.Source{Node: name, Version: "test", Epoch: 1}, dir: t.TempDir(), outDir: t.TempDir(), quick: quick,
		log: new(testsupport.Log)}
	listen := "127.0.0.1:0"
	if url != "" {
		listen = ""
		to := remote.Config{URL: url, Node: name, MaxReconnects: 3, ReconnectDelay: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
		for _, c := range change {
			c(&to)
		}
		var err error
		n.remote, err = remote.Open(to)
		n.mustSucceed(err)
		t.Cleanup(n.remote.Close)
	}
	n.openOutbox(listen)
	t.Cleanup(func() { n.mustSucceed(n.out.Close()) })
	return n
}

func (n *testNode) openOutbox(listen string) {
	n.Helper()
	var err error
	n.out, err = outbox.Open(testContext(n), outbox.Config{Prefix: string(prefix), Dir: n.outDir, Listen: listen, Log: slog.New(slog.DiscardHandler)})
	n.mustSucceed(err)
}

func (n *testNode) mustSucceed(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// startRoster opens the roster, until stop or the test's end.
func (n *testNode) startRoster() *testNode {
	n.Helper()
	var err error
	n.roster, err = open(testContext(n), Config{Outbox: n.out, Remote: n.remote, Prefix: prefix, Dir: n.dir, Node: n.source.Node, Latest: n.latest, Log: slog.New(slog.NewTextHandler(n.log, nil))}, n.quick)
	n.mustSucceed(err)
	n.Cleanup(n.stopRoster)
	return n
}

func (n *testNode) stopRoster() {
	n.Helper()
	if n.roster != nil {
		n.mustSucceed(n.roster.Close())
	}
	n.roster = nil
}

// publishChanges publishes status changes.
func (n *testNode) publishChanges(changes ...event.StatusChange) {
	n.Helper()
	var all []outbox.Message
	for _, c := range changes {
		m := &event.StatusChangeMessage{StatusChange: c, Security: n.source.Stamp(prefix.StatusChange(c.AgentID), time.Now())}
		data, err := json.Marshal(m)
		n.mustSucceed(err)
		all = append(all, outbox.Message{Class: outbox.Status, Subject: m.Security.Subject, ID: m.Security.ID(), Data: data, Body: m})
	}
	n.mustSucceed(n.out.Publish(testContext(n), all))
}

func activeChange(id string, since int64) event.StatusChange {
	return event.StatusChange{AgentID: id, AgentName: "agent-" + id, IPAddress: "10.0.0.1", PreviousStatus: event.Disconnected,
		CurrentStatus: event.Active, Timestamp: since, Reason: event.Reconnected, LastSeen: since}
}

func lostChange(id string, since, seen int64) event.StatusChange {
	return event.StatusChange{AgentID: id, AgentName: "agent-" + id, IPAddress: "10.0.0.1", CurrentStatus: event.Disconnected,
		Timestamp: since, Reason: event.MissedKeepAlives, MissedKeepAlives: 3, AlertLevel: 8, LastSeen: seen}
}

// xdrServer is a NATS server that may go and come back at the same address.
type xdrServer struct {
	testing.TB
	opts server.Options
	srv  *server.Server
}

func newXDR(t testing.TB, change ...func(*server.Options)) *xdrServer {
	t.Helper()
	x := &xdrServer{TB: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}}
	for _, c := range change {
		c(&x.opts)
	}
	x.startServer()
	t.Cleanup(func() { x.stopServer() })
	return x
}

func (x *xdrServer) startServer() {
	x.Helper()
	opts := x.opts
	var err error
	if x.srv, err = server.NewServer(&opts); err != nil {
		x.Fatal(err)
	}
	x.srv.Start()
	if !x.srv.ReadyForConnections(patience) {
		x.Fatal("the NATS server does not start")
	}
	x.opts.Port = opts.Port
}

func (x *xdrServer) stopServer() {
	x.srv.Shutdown()
	x.srv.WaitForShutdown()
}

func (x *xdrServer) url() string { return fmt.Sprint("nats://127.0.0.1:", x.opts.Port) }

// connectClient connects, until the test's end.
func connectClient(t testing.TB, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // an ordered consumer may not be deleted by a reader
	nc, err := nats.Connect(url, append(opts, quiet)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// readAgent reads one agent's, as an XDR platform does; nil for none.
func readAgent(t testing.TB, js jetstream.JetStream, id string) (*event.AgentState, uint64) {
	t.Helper()
	kv, err := js.KeyValue(testContext(t), event.AgentsBucket)
	if err != nil {
		return nil, 0
	}
	entry, err := kv.Get(testContext(t), id)
	if err != nil {
		return nil, 0
	}
	s, err := parseAgentState(entry.Value())
	if err != nil {
		return nil, entry.Revision()
	}
	return s, entry.Revision()
}

// waitForAgent waits for an agent's value that fits.
func waitForAgent(t testing.TB, js jetstream.JetStream, id string, fits func(*event.AgentState) bool) *event.AgentState {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := testContext(t); ; {
		s, _ := readAgent(t, js, id)
		if s != nil && fits(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("agent %s is %+v", id, s)
		}
	}
}

func hasSince(when int64) func(*event.AgentState) bool {
	return func(s *event.AgentState) bool { return s.Since == when }
}

// waitForStats waits until the roster's counts fit: an agent is counted after the server
// has its state, and so after a test may have seen it there.
func (n *testNode) waitForStats(fits func(Stats) bool) {
	n.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := testContext(n); !fits(n.roster.Stats()); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.Fatalf("%+v", n.roster.Stats())
		}
	}
}
