package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

func (h *testNode) silence(r silence.Request) string {
	h.t.Helper()
	r.By = "alice"
	added, err := h.node.silences.Add(h.t.Context(), &r, "127.0.0.1:1")
	if err != nil {
		h.t.Fatal(err)
	}
	return added.Silence.ID
}

func isAlert(m receivedMessage) bool { return strings.Contains(m.Subject, ".alerts.agent_") }

// A silence hides nothing from the stream of status changes. Its alert waits for its end.
func TestALossInASilenceIsPublishedAndItsAlertComesAtTheEnd(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.RetryInterval = 250 * time.Millisecond // three agents hang, one after the other
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	id := h.silence(silence.Request{Agent: "001,002", For: "1h"})
	for _, lost := range []string{"001", "002"} {
		if err := agents.Fail(lost, agentsim.Hang); err != nil {
			t.Fatal(err)
		}
		if got := h.nextChange(lost, event.Disconnected); !got.Silenced || got.AlertLevel < 8 || got.Reason != event.MissedKeepAlives {
			t.Errorf("%+v", got)
		}
	}
	if err := agents.Revive("002"); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("002", event.Active); !got.Silenced {
		t.Errorf("%+v", got)
	}
	if err := agents.Fail("003", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("003", event.Disconnected); got.Silenced {
		t.Errorf("%+v", got)
	}
	if alert := h.nextMessage("an alert", isAlert); alert.Change.AgentID != "003" { // the first: none was of a silenced agent
		t.Errorf("%+v", alert.Change)
	}
	if _, err := h.node.silences.End(t.Context(), id, "bob", ""); err != nil {
		t.Fatal(err)
	}
	if alert := h.nextMessage("an alert", isAlert); alert.Change.AgentID != "001" || alert.Change.Reason != event.MissedKeepAlives {
		t.Errorf("%+v", alert.Change)
	}
}

// An agent that is removed and enrolled again, under another name, is another agent.
func TestANewAgentIsSilencedByWhatSelectsIt(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.Silences = []config.Silence{{Name: "night", Agent: "new-*", Weekly: "daily 00:00-23:59 UTC"}, {Name: "minute", Agent: "new-*", Weekly: "daily 23:58-00:01 UTC"}}
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	silenced := func(id uint32) bool {
		h.t.Helper()
		r, _ := h.node.detector.Agent(detector.AgentID(id))
		return r.Silenced
	}
	if silenced(1) || silenced(2) {
		t.Error("silenced before")
	}
	writeKeys(t, cfg, strings.Replace(keyFile, " db ", " new-db ", 1))
	waitUntil(t, func() bool { return silenced(2) })
	if silenced(1) {
		t.Error("another is silenced")
	}
	writeKeys(t, cfg, keyFile)
	waitUntil(t, func() bool { return !silenced(2) && h.node.silences.Figures().Agents == 0 })
}

// An agent may get the ID of another that was removed in a silence.
func TestAnAgentIsNotSilencedByASilenceThatWasOverBeforeItWasThere(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	id := h.silence(silence.Request{Agent: "002", For: "1h"})
	lines := strings.SplitAfter(keyFile, "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "002 ") })
	writeKeys(t, cfg, strings.Join(slices.Delete(slices.Clone(lines), at, at+1), ""))
	waitUntil(t, func() bool { _, ok := h.node.detector.Agent(2); return !ok && h.node.silences.Figures().Agents == 0 })
	if _, err := h.node.silences.End(t.Context(), id, "bob", ""); err != nil {
		t.Fatal(err)
	}
	writeKeys(t, cfg, keyFile)
	waitUntil(t, func() bool { _, ok := h.node.detector.Agent(2); return ok })
	if r, _ := h.node.detector.Agent(2); r.Silenced {
		t.Error("it is silenced, and no silence holds")
	}
}

func TestSilencesSurviveARestartOfTheNodeAndWhatWasHeldComesAtTheirEnd(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	id := h.silence(silence.Request{Agent: "001", For: "1h"})
	if err := agents.Fail("001", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	h.nextChange("001", event.Disconnected)
	h.stop()
	if info, err := os.Stat(filepath.Join(cfg.Pulse.StateDir, silencesFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	again := startTestNode(t, cfg)
	if list := again.node.silences.List(); len(list.Silences) != 1 || list.Silences[0].ID != id || list.Silences[0].State != silence.Active {
		t.Errorf("%+v", list)
	}
	waitUntil(t, func() bool { return again.node.silences.Figures().Agents == 1 })
	if _, err := again.node.silences.End(t.Context(), id, "bob", ""); err != nil {
		t.Fatal(err)
	}
	if alert := again.nextMessage("an alert", isAlert); alert.Change.AgentID != "001" {
		t.Errorf("%+v", alert.Change)
	}
}

// waitUntil waits until something holds.
func waitUntil(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(testTimeout); !holds(); {
		select {
		case <-deadline:
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}

// What was over while the node was down is recorded when everything is open.
func TestASilenceThatWasOverWhileTheNodeWasDownKeepsItFromNoStart(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	if err := os.MkdirAll(cfg.Pulse.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	const over = `{"last_id":1,"silences":[{"id":"1","agent":"001","from":"2026-01-01T00:00:00Z","until":"2026-01-01T01:00:00Z","by":"alice","created_at":"2026-01-01T00:00:00Z"}]}`
	if err := os.WriteFile(filepath.Join(cfg.Pulse.StateDir, silencesFile), []byte(over), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startTestNode(t, cfg)
	waitUntil(t, func() bool { return h.node.silences.List().Silences[0].State == silence.Over })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(audittrail.Dir(cfg.Pulse.StateDir), "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	lines, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(lines), `"change":"expired"`) {
		t.Errorf("%v: %s", err, lines)
	}
}
