package daemon

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// state waits for an agent's in the roster that fits.
func (h *testNode) state(url, id string, fits func(*event.AgentState) bool) *event.AgentState {
	h.t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(testTimeout); time.Now().Before(deadline); <-tick.C {
		kv, err := js.KeyValue(h.t.Context(), event.AgentsBucket)
		if err != nil {
			continue
		}
		entry, err := kv.Get(h.t.Context(), id)
		if err != nil {
			continue
		}
		var s event.AgentState
		if err := json.Unmarshal(entry.Value(), &s); err != nil {
			h.t.Fatal(err)
		}
		if fits(&s) {
			return &s
		}
	}
	h.t.Fatalf("agent %s is not so; log: %q", id, h.log.about("roster"))
	return nil
}

func activeNow(s *event.AgentState) bool { return s.Status == event.Active }

func TestTheRosterIsKeptForClientsOfTheNode(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	waitFor(t, h.startAgents(keyFile).Settled())
	url := h.node.NATSURL()
	for _, id := range []string{"001", "002", "003"} {
		if s := h.state(url, id, activeNow); s.Node != "node01" || s.Epoch == 0 || s.Sequence == 0 || s.LastSeen == 0 || s.Removed {
			t.Errorf("%+v", s)
		}
	}
	writeKeys(t, cfg, keyFile[:strings.Index(keyFile, "003")])
	h.state(url, "003", func(s *event.AgentState) bool { return s.Removed && s.Reason == event.AgentRemoved })
	if s := h.node.Status().Roster; s == nil || !s.Kept || s.Written < 4 || s.Unreadable > 0 {
		t.Errorf("%+v", s)
	}
}

func TestTheRosterIsKeptOnTheXDRsServer(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	stored(t, xdr)
	cfg := testSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	waitFor(t, h.startAgents(keyFile).Settled())
	for _, id := range []string{"001", "002", "003"} {
		h.state(xdr.ClientURL(), id, activeNow)
	}
}

// A node whose state directory is gone finds in the bucket which agents it had: those that do not
// show themselves are not active for ever.
func TestANodeThatHasLostItsStateWatchesTheAgentsThatItHad(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	stored(t, xdr)
	cfg := patientSettings(t)
	cfg.NATS.ServerURL = xdr.ClientURL()
	h := startTestNode(t, cfg)
	opened := time.Now()
	agents := h.startAgents(keyFile[:strings.Index(keyFile, "003")])
	waitFor(t, agents.Settled())
	for _, id := range []string{"001", "002"} {
		h.state(xdr.ClientURL(), id, activeNow)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.Pulse.StateDir); err != nil {
		t.Fatal(err)
	}
	waitFor(t, after(time.Until(time.Unix(opened.Unix()+1, 0)))) // an epoch is a second at least
	again := openTestNode(t, cfg)
	if again.node.leftWait != cfg.KeepAlive.Timeout {
		t.Errorf("it looks after %v", again.node.leftWait)
	}
	again.node.leftWait = time.Millisecond
	again.startNode()
	for id := range detector.AgentID(3) {
		want := detector.Active
		if id == 2 {
			want = detector.NeverConnected
		}
		again.await("agent "+(id+1).String()+" is watched, if it was", func() bool {
			a, ok := again.node.detector.Agent(id + 1)
			return ok && a.Status == want && (want == detector.NeverConnected || a.LastSeen < 0)
		})
	}
	if log := again.log.about("of which nothing else is left"); len(log) != 1 {
		t.Errorf("log: %q", log)
	}
}
