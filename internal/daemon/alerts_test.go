package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
)

const oneKey = "001 web any 1111111111111111\n"

// startProbingNode starts a node with one agent, whose host is found as probe says.
func startProbingNode(t *testing.T, cfg *config.Config, probe hostprobe.Func) *testNode {
	t.Helper()
	writeKeys(t, cfg, oneKey)
	cfg.KeepAlive.HostProbe, cfg.KeepAlive.HostProbePorts = true, []int{22}
	h := &testNode{t: t, log: new(logbook), messages: make(chan *nats.Msg, 1<<16), ended: make(chan error, 1)}
	var err error
	if h.node, err = OpenWithHosts(t.Context(), cfg, "1.2.3", probe, slog.New(h.log)); err != nil {
		t.Fatal(err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.subscribe(cfg)
	h.startNode()
	return h
}

func probeResult(r hostprobe.Result) hostprobe.Func {
	return func(context.Context, netip.Addr, []int) (hostprobe.Result, error) { return r, nil }
}

// With the default threshold, an agent that is killed while its host lives is an alert at
// once. One whose host is gone too is none yet.
func TestAKilledAgentIsAnAlertIfItsHostLives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found     hostprobe.Result
		host      event.Host
		level     int
		technique string
		seen      []string
	}{
		{hostprobe.Result{Host: hostprobe.Answers, How: "tcp:22 refused"}, event.HostAnswers, 10, event.ImpairDefenses, []string{"connection_closed", "host_answers"}},
		{hostprobe.Result{Host: hostprobe.Silent, How: "icmp, tcp:22"}, event.HostSilent, 6, "", []string{"connection_closed", "host_silent"}},
		{hostprobe.Result{}, event.HostUnknown, 6, "", []string{"connection_closed"}},
	} {
		t.Run(string(c.host), func(t *testing.T) {
			t.Parallel()
			cfg := testSettings(t)
			h := startProbingNode(t, cfg, probeResult(c.found))
			agents := h.startAgents(oneKey)
			h.waitAllActive("001")
			if err := agents.Fail("001", agentsim.Kill); err != nil {
				t.Fatal(err)
			}
			got := h.nextChange("001", event.Disconnected)
			got.Confidence = slices.DeleteFunc(got.Confidence, func(s string) bool { return strings.Contains(s, ":") }) // a keep-alive may have been under way
			level := max(c.level, 5+got.MissedKeepAlives)
			if got.Reason != event.ConnectionLost || got.Host != c.host || got.HostProbe != c.found.How || got.AlertLevel != level || got.Technique != c.technique ||
				!slices.Equal(got.Confidence, c.seen) || (got.HostProbedAt != 0) != (c.found.How != "") {
				t.Errorf("%+v", got)
			}
			if c.level >= 8 {
				if alert := h.nextMessage("an alert", isAlert); alert.Change.AlertLevel != level || alert.Change.Host != c.host {
					t.Errorf("%+v", alert.Change)
				}
			}
			inBucket := h.state(h.node.NATSURL(), "001", func(s *event.AgentState) bool { return s.Status == event.Disconnected })
			if inBucket.Host != c.host || inBucket.HostProbe != c.found.How || inBucket.Technique != c.technique || inBucket.OSName != got.OSName {
				t.Errorf("in the bucket: %+v", inBucket)
			}
			h.awaitAnswer("/api/v1/agents/001", http.StatusOK, fmt.Sprintf("%q:%q", "host", c.host))
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			line := map[string]any{"agent": "001", "to": "disconnected", "host": string(c.host), "os_name": got.OSName}
			if c.technique != "" {
				line["technique"] = c.technique
			}
			has(t, trail(t, cfg), "transition", line)
		})
	}
}

// An agent that stays away, killed or stopped in order, is an alert after each of
// escalate_after, with the time and the reason of its loss. A restart repeats none of them, and one that is due meanwhile comes after it.
func TestAnAgentThatStaysAwayIsAnAlertAgainOverARestart(t *testing.T) {
	t.Parallel()
	for how, reason := range map[agentsim.Failure]event.Reason{agentsim.Kill: event.ConnectionLost, agentsim.Shutdown: event.AgentShutdown} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			stayAwayOverARestart(t, how, reason)
		})
	}
}

func stayAwayOverARestart(t *testing.T, how agentsim.Failure, reason event.Reason) {
	cfg := testSettings(t)
	cfg.KeepAlive.EscalateAfter = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
	h := startProbingNode(t, cfg, probeResult(hostprobe.Result{}))
	agents := h.startAgents(oneKey)
	h.waitAllActive("001")
	if err := agents.Fail("001", how); err != nil {
		t.Fatal(err)
	}
	loss := h.nextChange("001", event.Disconnected)
	level := 7
	nextAlert := func() {
		t.Helper()
		alert := h.nextMessage("an alert", isAlert).Change
		if alert.AwayFor < 1 || alert.AlertLevel <= level || alert.Reason != reason || alert.CurrentStatus != event.Disconnected ||
			max(alert.Timestamp-loss.Timestamp, loss.Timestamp-alert.Timestamp) > 1 {
			t.Errorf("after level %d: %+v", level, alert)
		}
		level = alert.AlertLevel
	}
	nextAlert()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = startProbingNode(t, cfg, probeResult(hostprobe.Result{}))
	alerts := 0
	for ; level < 10; alerts++ { // one or two: both may be due by now
		nextAlert()
	}
	if r, _ := h.node.detector.Agent(1); r.Status != detector.Disconnected {
		t.Errorf("%+v", r)
	}
	if log := h.log.about("agent still away"); len(log) != alerts {
		t.Errorf("%d alerts, and %q", alerts, log)
	}
	for _, m := range h.drainMessages() {
		if isAlert(m) {
			t.Errorf("one more: %+v", m.Change)
		}
	}
}

// An agent that flaps still flaps after a restart: its alert waits until it is stable, comes
// once, and it is not reported as flapping again.
func TestAFlappingAgentsAlertWaitsOverARestart(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.HighAlertThreshold = 6
	cfg.KeepAlive.FlapThreshold, cfg.KeepAlive.FlapWindow = 4, 6*time.Second
	h := startProbingNode(t, cfg, probeResult(hostprobe.Result{}))
	agents := h.startAgents(oneKey)
	h.waitAllActive("001")
	var loss *event.StatusChange
	for range 3 { // each is a loss, a startup and a return
		if err := agents.Fail("001", agentsim.Kill); err != nil {
			t.Fatal(err)
		}
		if loss = h.nextChange("001", event.Disconnected); loss.AlertLevel < 6 {
			t.Errorf("%+v", loss)
		}
		if err := agents.Revive("001"); err != nil {
			t.Fatal(err)
		}
		h.nextChange("001", event.Active)
	}
	if err := agents.Fail("001", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	loss = h.nextChange("001", event.Disconnected)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = startProbingNode(t, cfg, probeResult(hostprobe.Result{}))
	alert := h.nextMessage("an alert", isAlert)
	if waited := time.Since(loss.Time()); alert.Change == nil || alert.Change.Reason != event.ConnectionLost || waited < 5*time.Second {
		t.Errorf("after %v: %+v, %+v", waited, alert.Change, alert.Flapping)
	}
	for _, m := range h.drainMessages() {
		if isAlert(m) {
			t.Errorf("one more: %+v, %+v", m.Change, m.Flapping)
		}
	}
}
