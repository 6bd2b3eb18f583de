package query

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
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = time.Minute

// settings send no keep-alive within a test but those that are asked for.
var settings = detector.Settings{Group: detector.Group{Interval: time.Hour, Timeout: 3 * time.Hour, MaxMissed: 3},
	RetryInterval: time.Minute}

// fleet is a detector, and agents that answer keep-alives or do not.
type fleet struct {
	*detector.Detector
	clock *detector.Clock
	stop  func() // ends the detector

	mu   sync.Mutex
	hung map[detector.AgentID]bool
	sent map[detector.AgentID]int
}

// newFleet runs a detector of n agents, numbered from 1.
func newFleet(t *testing.T, set detector.Settings, n int) *fleet {
	t.Helper()
	f := &fleet{clock: detector.NewClock(), hung: make(map[detector.AgentID]bool), sent: make(map[detector.AgentID]int)}
	f.Detector = detector.New(set, f.clock, f.answer)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	f.stop = func() { cancel(); running.Wait() }
	t.Cleanup(f.stop)
	members := make([]detector.Member, n)
	for i := range members {
		members[n-1-i] = detector.Member{ID: detector.AgentID(i + 1), Name: fmt.Sprintf("host-%d", i+1), IP: "any"}
	}
	f.SetMembers(members)
	return f
}

// answer is what the agents do.
func (f *fleet) answer(decisions []detector.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range decisions {
		if d.Verdict != detector.Send {
			continue
		}
		f.sent[d.ID]++
		if !f.hung[d.ID] {
			f.see(d.ID, detector.SawAnswer, d.Token)
		}
	}
}

func (f *fleet) see(id detector.AgentID, kind detector.Kind, token uint32) {
	f.Report(detector.Sighting{At: f.clock.Now(), ID: id, Kind: kind, Token: token})
}

// connect lets agents come, who answer nothing if they hang.
func (f *fleet) connect(hung bool, ids ...detector.AgentID) {
	for _, id := range ids {
		f.mu.Lock()
		f.hung[id] = hung
		f.mu.Unlock()
		f.see(id, detector.SawStartup, 0)
		f.see(id, detector.SawKeepAlive, 0)
	}
}

func (f *fleet) sends(id detector.AgentID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent[id]
}

// newService is that of a node, and what it logs.
func newService(node string, f Fleet, clock *detector.Clock) (*Service, *testsupport.Log) {
	log := new(testsupport.Log)
	return New(Config{Node: node, Version: "1.2.3", Fleet: f, Clock: clock, Log: slog.New(slog.NewTextHandler(log, nil)),
		Status: func() any { return map[string]string{"node": node} }, Silences: func() silence.List { return newSilences(2, 1) }}), log
}

// natsServer runs a real server on a real port, as the XDR platform has one.
func natsServer(t *testing.T, change ...func(*server.Options)) string {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}
	for _, f := range change {
		f(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	return srv.ClientURL()
}

// embedded runs the outbox's server, whose clients have few rights.
func embedded(t *testing.T) (url string, answering *nats.Conn) {
	t.Helper()
	o, err := outbox.Open(t.Context(), outbox.Config{Prefix: "wazuh.xdr", Dir: t.TempDir(), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	nc, err := o.Connect(natsserver.Service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return o.URL(), nc
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// serve answers on a connection until the test or the returned function ends it.
func serve(t *testing.T, s *Service, nc *nats.Conn) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, nc) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the service does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// client asks, as an XDR platform does.
type client struct {
	*testing.T
	nc *nats.Conn
}

// newClient waits until so many nodes answer.
func newClient(t *testing.T, url string, nodes int) *client {
	t.Helper()
	c := &client{t, connect(t, url)}
	for deadline := time.Now().Add(patience); len(c.collect("$SRV.PING.pulse", "", nodes, lull)) < nodes; {
		if time.Now().After(deadline) {
			t.Fatal("the service is not found")
		}
	}
	return c
}

// ask returns the first answer.
func (c *client) ask(subject, body string) *nats.Msg {
	c.Helper()
	m, err := c.nc.Request(subject, []byte(body), patience)
	if err != nil {
		c.Fatalf("%s %s: %v", subject, body, err)
	}
	return m
}

// lull is how long a test waits for what should not come.
const lull = 300 * time.Millisecond

// gather returns as many answers as there have to be.
func (c *client) gather(subject, body string, want int) []*nats.Msg {
	c.Helper()
	all := c.collect(subject, body, want, patience)
	if len(all) != want {
		c.Fatalf("%s %s: %d answers, want %d", subject, body, len(all), want)
	}
	return all
}

// collect returns all answers, up to so many, until no more comes for a while.
func (c *client) collect(subject, body string, most int, while time.Duration) (all []*nats.Msg) {
	c.Helper()
	inbox := nats.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		c.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := c.nc.PublishRequest(subject, inbox, []byte(body)); err != nil {
		c.Fatal(err)
	}
	for len(all) < most {
		m, err := sub.NextMsg(while)
		if err != nil || m.Header.Get("Status") == "503" { // nobody is there
			break
		}
		all = append(all, m)
	}
	return all
}

func code(m *nats.Msg) string { return m.Header.Get(micro.ErrorCodeHeader) }

// refused wants an answer that says why there is no better one.
func (c *client) refused(m *nats.Msg, wantCode, wantText string) {
	c.Helper()
	if text := m.Header.Get(micro.ErrorHeader); code(m) != wantCode || !strings.Contains(text, wantText) || len(m.Data) > 0 {
		c.Errorf("refused by %s %q, body %q, want %s %q", code(m), text, m.Data, wantCode, wantText)
	}
}

// read wants a good answer.
func read[T any](c *client, m *nats.Msg) (v T) {
	c.Helper()
	if code(m) != "" {
		c.Fatalf("refused by %s %q", code(m), m.Header.Get(micro.ErrorHeader))
	}
	if err := json.Unmarshal(m.Data, &v); err != nil {
		c.Fatalf("%v in %s", err, m.Data)
	}
	return v
}
