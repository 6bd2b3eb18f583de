package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// TestAStateDirectoryThatIsDeletedEndsTheNode: what it would publish from then
// on is in files without a name. Whoever started it starts it again.
func TestAStateDirectoryThatIsDeletedEndsTheNode(t *testing.T) {
	cfg := testSettings(t)
	h := openTestNode(t, cfg)
	h.subscribe(cfg)
	ended := make(chan error, 1)
	go func() { ended <- h.node.Run(h.ctx) }()
	t.Cleanup(h.cancel)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	for err := os.RemoveAll(cfg.Pulse.StateDir); err != nil; err = os.RemoveAll(cfg.Pulse.StateDir) {
		t.Log(err) // a file was made meanwhile
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "store in "+cfg.Pulse.StateDir) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(testTimeout):
		t.Fatal("it goes on")
	}
	h.cancel()

	again := startTestNode(t, cfg)
	again.startAgents(keyFile)
	again.waitAllActive("001", "002", "003")
}

// TestWhatCannotBeReadDoesNotKeepANodeFromStarting: one agent begins anew, and
// the others are as they were.
func TestWhatCannotBeReadDoesNotKeepANodeFromStarting(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	prefix := event.Prefix(cfg.NATS.SubjectPrefix)
	o, err := outbox.Open(t.Context(), outbox.Config{Prefix: cfg.NATS.SubjectPrefix, Dir: filepath.Join(cfg.Pulse.StateDir, "outbox"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range []outbox.Message{
		{Subject: prefix.StatusChange("001"), Data: []byte("{")},
		{Subject: prefix.StatusChange("002"), Data: []byte(`{"status_change":{"agent_id":"002","reason":"of a later version"}}`)},
		{Subject: prefix.FleetOutage(), Data: []byte("?")},
	} {
		m.Class, m.ID = outbox.Status, string(rune('a'+i))
		if err := o.Publish(t.Context(), []outbox.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	again := openTestNode(t, cfg)
	again.startNode()
	again.log.await(t, "the last outage cannot be read: it is taken for over", 1)
	again.log.await(t, `the last status changes of some agents cannot be read: these begin anew agents=2`, 1)
	again.log.await(t, `restored the state of the last run agents=1`, 1)
}

func TestADamagedStoreIsSaidAndTheNodeWatchesOn(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.Pulse.StateDir, "outbox/jetstream/$G/streams/STATUS/msgs/1.blk")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	again := openTestNode(t, cfg)
	again.startNode()
	again.log.await(t, "the store was damaged: its intact messages are kept stream=STATUS messages_lost=1", 1)
	again.log.await(t, "stored messages are lost", 1)
	again.log.await(t, "restored the state of the last run agents=3", 1)
	s := again.node.Status()
	if s.Outbox.Status.Lost != 1 || len(s.Health.Warnings) != 1 || !strings.Contains(s.Health.Warnings[0], "1 status changes and alerts were gone") {
		t.Errorf("%+v %+v", s.Outbox, s.Health)
	}
}
