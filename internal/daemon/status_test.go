package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
)

// far starts a NATS server with JetStream, as an XDR platform has one.
func far(t *testing.T, change ...func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	for _, f := range change {
		f(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(testTimeout) {
		t.Fatal("the NATS server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// stored connects to a server, makes a stream of all that comes, and returns it.
func stored(t *testing.T, s *server.Server) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "XDR", Subjects: []string{"wazuh.xdr.>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestTheHeartbeatTellsHowTheNodeIs(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	beat := func() *event.ManagerStatus {
		return h.nextMessage("heartbeat", func(m receivedMessage) bool { return m.Status != nil }).Status
	}
	s := beat()
	if s.State != event.NodeRunning || s.NATS.State != event.NATSEmbedded || s.NATS.Since == 0 || s.Link.Kind != event.LinkListen {
		t.Errorf("the first: %+v", s)
	}
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	for s = beat(); s.Link.Connections != 3; s = beat() {
	}
	if s.Uptime < 5 || s.Link.Agents != 3 || s.Agents.Active != 3 || s.OutboxDepth != 0 || s.TelemetryDropped != 0 {
		t.Errorf("%+v", s)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.nextMessage("last heartbeat", func(m receivedMessage) bool { return m.Status != nil && m.Status.State == event.NodeStopping })
	if after := h.drainMessages(); len(after) > 0 {
		t.Errorf("after the last message: %+v", after)
	}
}

func TestTheLastHeartbeatIsForwarded(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	stream := stored(t, xdr)
	cfg := testSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	waitFor(t, h.startAgents(keyFile).Settled())
	h.awaitNATS(event.NATSConnected)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "wazuh.xdr.manager.status.node01")
	if err != nil {
		t.Fatal(err)
	}
	var last event.ManagerStatusMessage
	if err := json.Unmarshal(m.Data, &last); err != nil || last.ManagerStatus.State != event.NodeStopping || last.ManagerStatus.NATS.State != event.NATSConnected {
		t.Errorf("%s %v", m.Data, err)
	}
}

// awaitNATS waits for a state of the way to the XDR's NATS.
func (h *testNode) awaitNATS(want event.State) Status {
	h.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-tick.C {
		if s := h.node.Status(); s.NATS.State == want {
			return s
		} else if time.Now().After(deadline) {
			h.t.Fatalf("%s since %s, want %s", s.NATS.State, s.NATS.Since, want)
		}
	}
}

func (h *testNode) get(path string) (code int, body string) {
	h.t.Helper()
	r, err := http.Get(fmt.Sprint("http://", h.node.ConsoleAddr(), path))
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// awaitAnswer asks until the console says so: what it knows may be half a second old.
func (h *testNode) awaitAnswer(path string, code int, words string) {
	h.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); ; <-tick.C {
		got, body := h.get(path)
		if got == code && strings.Contains(body, words) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: %d %s", path, got, body)
		}
	}
}

func TestTheNodeIsNotHealthyWithoutItsNATSServer(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	cfg := testSettings(t)
	cfg.NATS.ServerURL, cfg.NATS.MaxReconnects, cfg.NATS.ReconnectDelay = xdr.ClientURL(), 2, 50*time.Millisecond
	h := startTestNode(t, cfg)
	first := h.awaitNATS(event.NATSConnected)
	if code, body := h.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %s", code, body)
	}
	xdr.Shutdown()
	gone := h.awaitNATS(event.NATSUnavailable)
	if !gone.NATS.Since.After(first.NATS.Since) {
		t.Errorf("unavailable since %s, connected since %s", gone.NATS.Since, first.NATS.Since)
	}
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, `"failures":["the NATS server is unavailable since`)
	if code, body := h.get("/readyz"); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if code, body := h.get("/api/v1/status"); code != http.StatusOK || !strings.Contains(body, `"state": "unavailable"`) || !strings.Contains(body, "is unavailable since") ||
		!strings.Contains(body, `"problem": "connection_refused"`) {
		t.Errorf("%d %s", code, body)
	}
}

// The rest goes on: it is a warning, not a failure.
func TestMessagesThatTheServerRefusesAreAWarning(t *testing.T) {
	t.Parallel()
	xdr := far(t, func(o *server.Options) {
		o.NoAuthUser = "node"
		o.Users = []*server.User{{Username: "node", Password: "node", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"wazuh.xdr.alerts.agent_disconnected", "wazuh.xdr.manager.keepalive.001", "$KV.>"}}}}}
	})
	cfg := testSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); h.node.Status().Outbox.DeadLetters() == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", h.node.Status().Outbox)
		}
	}
	h.awaitAnswer("/healthz", http.StatusOK, "messages are set aside")
	h.log.await(t, "cannot keep the roster of agents", 1) // and what it was refused is no dead letter
	status := h.node.Status()
	if status.Outbox.Status.Dead > 0 || status.Outbox.Status.Forwarded < 3 {
		t.Errorf("%+v", status.Outbox)
	}
	var beat event.ManagerStatusMessage
	if err := json.Unmarshal(message.NewWriter(message.Source{}, "p").Heartbeat(status.managerStatus()).Data, &beat); err != nil || beat.ManagerStatus.DeadLetters == 0 {
		t.Errorf("%+v, %v", beat, err)
	}
}

func TestDropsAreRecentForAMinute(t *testing.T) {
	var d riseWatch
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		total uint64
		want  bool
	}{{0, 0, false}, {time.Second, 3, true}, {50 * time.Second, 3, true}, {61 * time.Second, 3, false}, {62 * time.Second, 4, true}, {200 * time.Second, 4, false}} {
		if got := d.roseRecently(step.total, now.Add(step.after)); got != step.want {
			t.Errorf("after %s with %d: %v", step.after, step.total, got)
		}
	}
}
