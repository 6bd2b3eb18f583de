package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestEveryDeathIsToldAsWhatItIs(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	agents := h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	for _, c := range []struct {
		how    agentsim.Failure
		reason event.Reason
		missed int
		level  int
	}{
		{agentsim.Kill, event.ConnectionLost, 0, 6},
		{agentsim.Shutdown, event.AgentShutdown, 0, 3},
		{agentsim.Hang, event.MissedKeepAlives, 3, 8},
	} {
		if err := agents.Fail("002", c.how); err != nil {
			t.Fatal(err)
		}
		got := h.nextChange("002", event.Disconnected)
		if got.Reason != c.reason || got.MissedKeepAlives != c.missed || got.AlertLevel != c.level || got.PreviousStatus != event.Active {
			t.Errorf("%v: %+v", c.how, got)
		}
		if c.level >= 8 {
			alert := h.nextMessage("alert", func(m receivedMessage) bool { return strings.Contains(m.Subject, ".alerts.") })
			if alert.Subject != "wazuh.xdr.alerts.agent_disconnected" || !cmp.Equal(alert.Change, got) {
				t.Errorf("alert %s %+v, want %+v", alert.Subject, alert.Change, got)
			}
		}
		if err := agents.Revive("002"); err != nil {
			t.Fatal(err)
		}
		if got := h.nextChange("002", event.Active); got.Reason != event.Reconnected && got.Reason != event.Connected {
			t.Errorf("after %v: %+v", c.how, got)
		}
	}
}

func TestKeepAlivesAndHeartbeatsArePublished(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	h.nextMessage("heartbeat", func(m receivedMessage) bool { return m.Subject == "wazuh.xdr.manager.status.node01" && m.Status != nil })
	h.startAgents(keyFile)
	for _, kind := range []event.EventType{event.KeepAliveSent, event.KeepAliveAcknowledged} {
		m := h.nextMessage(string(kind), func(m receivedMessage) bool { return m.Event != nil && m.Event.EventType == kind })
		if e := m.Event; m.Subject != "wazuh.xdr.manager.keepalive."+e.AgentID || e.Interval != 1 || e.ManagerNode != "node01" ||
			(e.RTT != nil) != (kind == event.KeepAliveAcknowledged) {
			t.Errorf("%+v", m)
		}
	}
}

func TestAgentsOverUDPAreWatchedToo(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.Remote.TCP, cfg.Remote.UDP = false, true
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Network = "udp" })
	h.waitAllActive("001", "002", "003")
	h.nextMessage("answer", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged
	})
	if err := agents.Fail("003", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("003", event.Disconnected); got.Reason != event.MissedKeepAlives {
		t.Errorf("%+v", got)
	}
}

// The connections of all agents close when the node stops, and open again in
// its next life: that says nothing about the agents.
func TestARestartIsNoNewsOfAgentsAndBeginsAHigherEpoch(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	var epoch uint64
	for life := range 3 {
		h := startTestNode(t, cfg)
		h.startAgents(keyFile)
		if life == 0 {
			h.waitAllActive("001", "002", "003")
		}
		for _, id := range []string{"001", "002", "003"} {
			h.nextMessage("an answer of "+id, func(m receivedMessage) bool {
				if m.Change != nil && life > 0 {
					t.Errorf("said in life %d: %+v", life, m.Change)
				}
				return m.Event != nil && m.Event.AgentID == id && m.Event.EventType == event.KeepAliveAcknowledged
			})
		}
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		for _, m := range h.drainMessages() {
			if m.Change != nil {
				t.Errorf("said while stopping: %+v", m.Change)
			}
		}
		if lines := h.log.about("agent disconnected"); len(lines) > 0 {
			t.Errorf("logged: %q", lines)
		}
		if h.epoch <= epoch {
			t.Errorf("epoch %d after %d", h.epoch, epoch)
		}
		epoch = h.epoch
	}
}

// What became of agents while nobody watched is found, by the next life.
func TestADeathBetweenTwoLivesIsFound(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.Timeout = 2 * time.Second
	first := startTestNode(t, cfg)
	first.startAgents(keyFile)
	first.waitAllActive("001", "002", "003")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	writeKeys(t, cfg, "001 web any 1111111111111111\n003 mail any 3333333333333333\n")
	second := startTestNode(t, cfg)
	second.startAgents("001 web any 1111111111111111\n")
	got := map[string]*event.StatusChange{}
	for len(got) < 2 {
		c := second.nextMessage("a change", func(m receivedMessage) bool { return strings.HasSuffix(m.Subject, ".status_change") }).Change
		got[c.AgentID] = c
	}
	if c := got["002"]; c == nil || c.Reason != event.AgentRemoved || c.AgentName != "db" || c.PreviousStatus != event.Active {
		t.Errorf("removed meanwhile: %+v", c)
	}
	if c := got["003"]; c == nil || c.Reason != event.KeepAliveTimeout || c.PreviousStatus != event.Active || c.LastSeen != 0 || c.MissedKeepAlives != 3 {
		t.Errorf("died meanwhile: %+v", c)
	}
}

func TestAgentsComeAndGoWithClientKeys(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	h.startAgents("004 new any 4444444444444444\n")
	writeKeys(t, cfg, "001 web any 1111111111111111\n003 mail any 9999999999999999\n004 new any 4444444444444444\nbad line\n")
	got := map[string]*event.StatusChange{}
	for len(got) < 3 { // in any order
		c := h.nextMessage("change", func(m receivedMessage) bool {
			return strings.HasSuffix(m.Subject, ".status_change") &&
				(m.Change.AgentID == "004") == (m.Change.CurrentStatus == event.Active) && m.Change.CurrentStatus != event.Pending
		}).Change
		got[c.AgentID] = c
	}
	if c := got["002"]; c == nil || c.Reason != event.AgentRemoved || c.AlertLevel != 5 {
		t.Errorf("removed: %+v", c)
	}
	if c := got["003"]; c == nil || c.Reason != event.ConnectionLost {
		t.Errorf("with another key: %+v", c)
	}
	if c := got["004"]; c == nil || c.Reason != event.Connected {
		t.Errorf("new: %+v", c)
	}
	if lines := h.log.about("a line of client.keys is skipped"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
}

func TestWithoutNATSTheLogTells(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.Enabled = false
	h := startTestNode(t, cfg)
	if url := h.node.NATSURL(); url != "" {
		t.Errorf("NATS at %s", url)
	}
	agents := h.startAgents(keyFile)
	waitFor(t, agents.Settled())
	h.log.await(t, "agent active", 3)
}

func TestOpenNamesTheSettingThatIsInTheWay(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	addr := busy.Addr().(*net.TCPAddr).AddrPort()
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, cfg *config.Config)
	}{
		{"the agents' port is taken", "<remote><port>", func(_ *testing.T, cfg *config.Config) { cfg.Remote.Port = int(addr.Port()) }},
		{"the NATS port is taken", "<nats><listen>", func(_ *testing.T, cfg *config.Config) { cfg.NATS.Listen = addr.String() }},
		{"the console's port is taken", "<pulse><http>", func(_ *testing.T, cfg *config.Config) { cfg.Pulse.HTTP = addr.String() }},
		{"the state directory is a file", "<pulse><state_dir>", func(_ *testing.T, cfg *config.Config) { cfg.Pulse.StateDir = cfg.Pulse.ClientKeys }},
		{"client.keys is not there", "<pulse><client_keys>", func(_ *testing.T, cfg *config.Config) { cfg.Pulse.ClientKeys += ".not" }},
		{"a manager lives here, and has no settings", "ossec.conf", func(t *testing.T, cfg *config.Config) {
			if err := os.MkdirAll(filepath.Join(cfg.Pulse.Home, "queue/db/wdb"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testSettings(t)
			c.spoil(t, cfg)
			n, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler))
			if err == nil {
				_ = n.close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not name %s", err, c.want)
			}
		})
	}
}

// What failed to open leaves nothing open: the same settings work once the
// obstacle is gone.
func TestAfterAFailedOpenEverythingIsFree(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pulse.HTTP = busy.Addr().String()
	if _, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("it opens")
	}
	_ = busy.Close()
	startTestNode(t, cfg)
}

// A server that takes connections and never says a word.
func TestANodeWhoseNATSServerIsStuckEndsInTime(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cfg := testSettings(t)
	cfg.NATS.ServerURL = "nats://" + silent.Addr().String()
	h := startTestNode(t, cfg)
	waitFor(t, h.startAgents(keyFile).Settled())
	before := time.Now()
	if err := h.stop(); err != nil || time.Since(before) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(before), err)
	}
}

// Without a store there is nothing to go on for: the node ends and says why.
func TestANodeThatCanStoreNothingEndsWithAnError(t *testing.T) {
	t.Parallel()
	h := openTestNode(t, testSettings(t))
	if err := h.node.out.outbox.Close(); err != nil {
		t.Fatal(err)
	}
	h.startNode()
	select {
	case err := <-h.ended:
		if err == nil || !strings.Contains(err.Error(), "publish to") {
			t.Errorf("it ends with %v", err)
		}
		h.ended <- nil // for the cleanup
	case <-time.After(testTimeout):
		t.Fatal("it goes on")
	}
}

func TestANodeThatIsToldToEndBeforeItRunsEnds(t *testing.T) {
	t.Parallel()
	h := openTestNode(t, testSettings(t))
	h.cancel()
	h.startNode()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

func TestAParentThatEndsForItsOwnReasonIsNoFailure(t *testing.T) {
	t.Parallel()
	h := openTestNode(t, testSettings(t))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	h.ctx = ctx
	h.startNode()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

func TestTheConsoleShowsTheFleet(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	url := "http://" + h.node.ConsoleAddr().String() + "/api/v1/agents?status=active"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testTimeout}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var fleet view.AgentPage
	if err := json.NewDecoder(answer.Body).Decode(&fleet); err != nil || len(fleet.Agents) != 3 {
		t.Errorf("%v, %+v", err, fleet)
	}
}

func TestTwoNodesDoNotShareAState(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	startTestNode(t, cfg)
	if n, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler)); err == nil {
		_ = n.close()
		t.Error("a second one opens")
	}
}

func waitFor(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Fatal("not within the time")
	}
}
