package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/testport"
)

// trail is the audit log of a node that has ended, verified.
func trail(t *testing.T, cfg *config.Config, heads ...audit.Head) (lines []map[string]any) {
	t.Helper()
	key, err := audit.ReadKeys(audittrail.PublicKeysPath(cfg.Pulse.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.Verify(audittrail.Dir(cfg.Pulse.StateDir), audit.Check{Key: key, Heads: heads})
	if err != nil || !c.Closed || c.Missing != 0 || c.Heads != len(heads) {
		t.Errorf("%+v, %v", c, err)
	}
	if err := audit.Read(audittrail.Dir(cfg.Pulse.StateDir), audit.Filter{}, func(l *audit.Line) error {
		var m map[string]any
		if err := json.Unmarshal(l.Text, &m); err != nil {
			return err
		}
		lines = append(lines, m)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

// has finds the first line of a kind with these members.
func has(t *testing.T, lines []map[string]any, kind string, members map[string]any) map[string]any {
	t.Helper()
next:
	for _, l := range lines {
		if l["kind"] != kind {
			continue
		}
		for name, value := range members {
			if l[name] != value {
				continue next
			}
		}
		return l
	}
	t.Errorf("no line %s with %v in\n%v", kind, members, lines)
	return nil
}

func TestTheAuditLogTellsALifeOfTheNode(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.RetryInterval = testTimeout // on a busy machine, too, no keep-alive fails
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	stranger, err := net.Dial("tcp", h.node.AgentAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Write([]byte("\x07\x00\x00\x00no\x1b[31m")); err != nil {
		t.Fatal(err)
	}
	_, _ = stranger.Read(make([]byte, 1)) // until it is thrown out
	stranger.Close()
	rebound, err := http.NewRequest(http.MethodGet, "http://"+h.node.ConsoleAddr().String()+"/api/v1/agents", nil)
	if err != nil {
		t.Fatal(err)
	}
	rebound.Host = "evil.example"
	if answer, err := http.DefaultClient.Do(rebound); err != nil || answer.StatusCode != http.StatusForbidden || answer.Body.Close() != nil {
		t.Error(answer, err)
	}
	http.DefaultClient.CloseIdleConnections()
	h.nextMessage("acknowledged keep-alive", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged
	})
	writeKeys(t, cfg, strings.Replace(keyFile, "003 mail", "004 mail", 1))
	h.nextMessage("removal", func(m receivedMessage) bool { return m.Change != nil && m.Change.Reason == event.AgentRemoved })
	h.log.await(t, "client.keys changed", 1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	last := h.nextMessage("last heartbeat", func(m receivedMessage) bool { return m.Status != nil && m.Status.State == event.NodeStopping }).Status
	if last.Audit == nil || last.Audit.State != event.AuditWriting {
		t.Fatalf("%+v", last.Audit)
	}
	lines := trail(t, cfg, audit.Head{Seq: last.Audit.Seq, Hash: last.Audit.Hash})
	if lines[0]["kind"] != "start" || lines[0]["version"] != "1.2.3" || lines[0]["epoch"] != float64(h.epoch) || lines[len(lines)-2]["kind"] != "stop" {
		t.Errorf("%v ... %v", lines[0], lines[len(lines)-2])
	}
	has(t, lines, "agents", map[string]any{"count": 3.0, "changed": false})
	has(t, lines, "agents", map[string]any{"count": 3.0, "added": "004", "removed": "003", "new_line": ""})
	has(t, lines, "transition", map[string]any{"agent": "002", "name": "db", "from": "pending", "to": "active", "reason": "connected"})
	has(t, lines, "refused", map[string]any{"reason": "garbled"})
	has(t, lines, "refused", map[string]any{"reason": "console_name"})
	has(t, lines, "keepalives", map[string]any{"failed": 0.0})
	if p := has(t, lines, "publishing", nil); p["status"].(map[string]any)["published"] == 0.0 || p["telemetry"].(map[string]any)["published"] == 0.0 {
		t.Error(p)
	}
}

func TestTheAuditLogTellsWhatWasChangedWhileTheNodeWasDown(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.AuditDetail = "full"
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.NATS.ServerURL, cfg.NATS.User, cfg.NATS.PasswordFile, cfg.NATS.ReconnectDelay = "nats://127.0.0.1:1", "pulse", password, 100*time.Millisecond
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.log.await(t, "cannot reach the NATS server", 1)
	h.log.await(t, "agent active", 3)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(password, []byte("hunter3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(audittrail.KeyPath(cfg.Pulse.StateDir)); err != nil {
		t.Fatal(err)
	}
	cfg.NATS.MaxReconnects = 7
	writeKeys(t, cfg, keyFile+"007 new any 7777\n")
	h = startTestNode(t, cfg)
	h.log.await(t, "restored the state of the last run", 1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	lines := trail(t, cfg)
	has(t, lines, "keepalive", map[string]any{"result": "sent"})
	has(t, lines, "nats", map[string]any{"event": "failed", "problem": "connection_refused", "login_refused": false})
	has(t, lines, "setting", map[string]any{"name": "ossec_config/nats/max_reconnects", "was": "10", "is": "7"})
	has(t, lines, "key", map[string]any{"file": "nats/password_file", "change": "changed"})
	has(t, lines, "key", map[string]any{"file": "audit", "change": "changed"})
	has(t, lines, "agents", map[string]any{"count": 4.0, "changed": true})
	for _, name := range []string{"audit.json", "audit.jwks"} {
		text, err := os.ReadFile(filepath.Join(cfg.Pulse.StateDir, name))
		if err != nil || strings.Contains(string(text), "hunter") || strings.Contains(string(text), "1111111111111111") {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	settings := 0
	for _, l := range lines {
		if l["kind"] == "setting" {
			settings++
		}
	}
	if settings != 1 {
		t.Errorf("%d settings changed", settings)
	}
}

// From the first failure to the last message that had waited.
func TestTheAuditLogTellsAnOutageOfTheNATSServer(t *testing.T) {
	t.Parallel()
	port := testport.Free(t)
	cfg := testSettings(t)
	cfg.NATS.ServerURL, cfg.NATS.MaxReconnects, cfg.NATS.ReconnectDelay = fmt.Sprint("nats://127.0.0.1:", port), 2, 50*time.Millisecond
	h := startTestNode(t, cfg)
	h.awaitNATS(event.NATSUnavailable)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	waits := func() bool { // long enough that there is something to catch up with
		oldest := h.node.Status().Outbox.Telemetry.Oldest
		return oldest != nil && time.Since(*oldest) > 1500*time.Millisecond
	}
	for deadline := time.Now().Add(testTimeout); !waits(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", h.node.Status().Outbox)
		}
	}
	far(t, func(o *server.Options) { o.Port = port })
	h.awaitNATS(event.NATSConnected)
	for deadline := time.Now().Add(testTimeout); h.node.readMetrics().Streams[1].CaughtUp == 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", h.node.Status().Outbox)
		}
	}
	h.log.await(t, "caught up with the NATS server", 1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	lines := trail(t, cfg)
	has(t, lines, "nats", map[string]any{"event": "unavailable", "problem": "connection_refused"})
	has(t, lines, "nats", map[string]any{"event": "available"})
	if l := has(t, lines, "nats", map[string]any{"event": "caught_up", "stream": "TELEMETRY"}); l["messages"] == 0.0 {
		t.Error(l)
	}
}

func TestWithoutAuditLoggingThereIsNone(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.AuditLogging = false
	h := startTestNode(t, cfg)
	if s := h.node.Status(); s.Audit != nil {
		t.Errorf("%+v", s.Audit)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(audittrail.Dir(cfg.Pulse.StateDir)); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestTheAuditLogTellsThatItWasSwitchedOff(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	for _, on := range []bool{true, false, false, true} {
		cfg.NATS.AuditLogging = on
		if err := startTestNode(t, cfg).stop(); err != nil {
			t.Fatal(err)
		}
	}
	lines := trail(t, cfg)
	var told []any
	for _, l := range lines {
		if l["kind"] == "setting" {
			told = append(told, l["name"], l["was"], l["is"])
		}
	}
	const name = "ossec_config/nats/audit_logging"
	if diff := cmp.Diff([]any{name, "yes", "no", name, "no", "yes"}, told); diff != "" {
		t.Error(diff)
	}
}

// The node goes on, and says so wherever it can; the log itself says so when it can again.
func TestANodeWhoseAuditLogHasNoRoomGoesOnAndSaysSo(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	dir := audittrail.Dir(cfg.Pulse.StateDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	cfg.NATS.AuditDetail = "full"
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	h.log.await(t, "cannot write the audit log", 1)
	status := h.node.Status()
	var beat event.ManagerStatusMessage
	if err := json.Unmarshal(message.NewWriter(message.Source{}, "p").Heartbeat(status.managerStatus()).Data, &beat); err != nil || beat.ManagerStatus.Audit.State != event.AuditFailing {
		t.Errorf("%+v, %v", beat, err)
	}
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "the audit log cannot be written since ")
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "no space left")
	h.awaitAnswer("/api/v1/status", http.StatusOK, `"state": "failing"`)
	if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	h.log.await(t, "the audit log can be written again", 1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	trail(t, cfg)
}
