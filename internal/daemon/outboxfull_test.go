package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// What happens while the disk of the messages is full is published when it has room,
// and a node starts beside a full one.
func TestANodeGoesOnWhileTheDiskOfItsMessagesIsFull(t *testing.T) {
	t.Parallel()
	cfg := patientSettings(t)
	store := outboxDir(cfg)
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", store, "tmpfs", 0, "mode=0700,size=64m"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(store, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(store, "filler")
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(filler, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h := openTestNode(t, cfg)
	h.startNode()
	agents := h.startAgents(keyFile)
	h.log.await(t, "agent active", 3)
	fill()
	if err := agents.Fail("001", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	// What waits for the disk is not in the log yet.
	h.awaitAnswer("/api/v1/agents/001", http.StatusOK, `"status":"disconnected"`)
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "outbox: store in "+store)
	h.log.await(t, "the disk is full: what is to be published waits in memory", 1)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	h.log.await(t, "the disk has room again: storing goes on", 1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}

	fill()
	again := openTestNode(t, cfg)
	again.log.await(t, "starting with the room that was kept for this", 1)
	var last event.StatusChangeMessage
	err := again.node.out.outbox.ReadLast(t.Context(), "wazuh.xdr.agent.001.status_change", func(_ string, data []byte) error { return json.Unmarshal(data, &last) })
	if err != nil || last.StatusChange.CurrentStatus != event.Disconnected {
		t.Errorf("%+v, %v", last, err)
	}
	fill() // with what of the kept room the start has not used
	again.startNode()
	again.log.await(t, "the disk is full: what is to be published waits in memory", 1)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	again.log.await(t, "the disk has room again: storing goes on", 1)
	if err := again.stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
