package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/seal"
)

func TestOtherSettingsCountWhileTheNodeRuns(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.HighAlertThreshold = 15
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	next := *cfg
	next.NATS.HighAlertThreshold = 5
	next.KeepAlive.Interval = 300 * time.Millisecond
	next.Groups = []config.Group{{Name: "web", Names: []string{"web"}, Interval: 2 * time.Second, Timeout: time.Minute, MaxMissed: 3, HighAlertThreshold: 15}}
	next.NATS.SubjectPrefix, next.KeepAlive.Method = "another.prefix", "ack"
	now, err := h.node.Reload(&next)
	if err != nil || now.NATS.SubjectPrefix != "wazuh.xdr" || now.KeepAlive.Method != "request" || now.NATS.HighAlertThreshold != 5 {
		t.Fatalf("%+v, %v", now, err)
	}
	h.nextMessage("keep-alive of the new group", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.AgentID == "001" && m.Event.Interval == 2
	})
	h.awaitAnswer("/api/v1/agents/001", http.StatusOK, `"group":"web"`)
	writeKeys(t, cfg, "002 db any 2222222222222222\n")
	alerts := map[string]bool{}
	removed := 0
	h.nextMessage("removals", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.Reason == event.AgentRemoved {
			removed++
			alerts[m.Change.AgentID] = alerts[m.Change.AgentID] || strings.HasSuffix(m.Subject, ".alerts.agent_disconnected")
		}
		return removed == 3 // two changes, and one alert
	})
	if alerts["001"] || !alerts["003"] {
		t.Errorf("alerts of removals: %v", alerts)
	}
	if lines := h.log.about("settings read again"); len(lines) != 1 || !strings.Contains(lines[0], "interval: 200ms → 300ms") ||
		!strings.Contains(lines[0], "need_a_restart=remote/manager_keepalive/method: request → ack, nats/subject_prefix: wazuh.xdr → another.prefix") {
		t.Errorf("%q", lines)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	lines := trail(t, cfg)
	has(t, lines, "setting", map[string]any{"name": "ossec_config/nats/high_alert_threshold", "was": "15", "is": "5"})
	for _, l := range lines {
		if l["kind"] == "setting" && l["name"] == "ossec_config/nats/subject_prefix" {
			t.Errorf("said to be changed: %v", l)
		}
	}
}

// Settings that cannot be used change nothing, and are a condition until others are in effect.
func TestSettingsThatCannotBeUsedChangeNothingAndAreLoud(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	key := recipient(t, cfg)
	h := openTestNode(t, cfg)
	r := hearing(t, h.node.NATSURL(), cfg, key)
	h.startNode()
	fleet := h.startAgents(keyFile)
	waitFor(t, fleet.Settled())
	r.active(3)

	next := *cfg
	next.NATS.RecipientsFile, next.NATS.HighAlertThreshold = cfg.NATS.RecipientsFile+".not", 3
	if now, err := h.node.Reload(&next); err == nil || now.NATS.HighAlertThreshold != cfg.NATS.HighAlertThreshold {
		t.Fatalf("%+v, %v", now, err)
	}
	h.awaitAnswer("/healthz", http.StatusOK, "warning: the settings that were read last are not in effect: ")
	h.node.RejectSettings(errors.New("pulse.conf:3: bad\npulse.conf:4: worse"))
	h.awaitAnswer("/healthz", http.StatusOK, "pulse.conf:3: bad; pulse.conf:4: worse")
	h.log.await(t, "settings cannot be read again: those in effect stay", 2)
	h.log.await(t, "node condition began code=settings_refused", 1)

	other := recipient(t, &next) // the recipients of the file are others now
	if err := os.Rename(next.NATS.RecipientsFile, cfg.NATS.RecipientsFile); err != nil {
		t.Fatal(err)
	}
	if _, err := h.node.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	h.log.await(t, "messages are encrypted for other recipients", 1)
	h.awaitAnswer("/healthz", http.StatusOK, "ok")
	reads, err := seal.NewDecrypter(other)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(testTimeout); ; {
		select {
		case m := <-r.heard:
			if _, err := reads.Decrypt(m.Data); err == nil {
				return
			}
		case <-deadline:
			t.Fatal("no message for the new recipients")
		}
	}
}

// Whoever waits for whom: a storm of decisions, readers of the status, and reloads.
func TestReloadsInAStormHoldNobodyUp(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.Interval, cfg.KeepAlive.RetryInterval = 100*time.Millisecond, testTimeout
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	one, two := *cfg, *cfg
	one.Groups = []config.Group{{Name: "web", Names: []string{"*"}, Interval: 100 * time.Millisecond, Timeout: time.Minute, MaxMissed: 3, HighAlertThreshold: 8}}
	two.KeepAlive.Interval = 150 * time.Millisecond
	var working sync.WaitGroup
	for _, next := range []*config.Config{&one, &two, cfg} {
		working.Go(func() {
			for range 50 {
				if _, err := h.node.Reload(next); err != nil {
					t.Error(err)
				}
				h.node.Status()
			}
		})
	}
	working.Wait()
	for _, m := range h.drainMessages() {
		if m.Change != nil && m.Change.CurrentStatus == event.Disconnected {
			t.Errorf("%+v", m.Change)
		}
	}
}

// A login of which one file got lost on its way would fail in silence, or go on with less.
func TestEveryFileOfTheLoginReachesTheConnection(t *testing.T) {
	cfg := config.Default()
	n := &cfg.NATS
	n.CredentialsFile, n.NKeyFile, n.PasswordFile, n.TokenFile, n.TLSCA, n.TLSCert, n.TLSKey = "/creds", "/nkey", "/password", "/token", "/ca", "/cert", "/key"
	have := fmt.Sprintf("%+v ", RemoteConfig(&cfg, nil))
	for _, f := range cfg.SecurityFiles() {
		if strings.HasPrefix(f.Setting, "nats/") && f.Path != n.RecipientsFile && !strings.Contains(have, ":"+f.Path+" ") {
			t.Errorf("%s does not: %s", f.Setting, have)
		}
	}
}
