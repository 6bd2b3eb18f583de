package daemon

import (
	"errors"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestANodeLivesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	for h.node.detector.Counts().ByStatus[detector.NeverConnected] != 3 { // once client.keys is read
		if err := h.node.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.node.Summary(); got != "0 active, 0 pending, 0 disconnected, 3 never connected" {
		t.Error(got)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if err := h.node.Alive(t.Context()); !errors.Is(err, detector.ErrEnded) {
		t.Errorf("after its end: %v", err)
	}
}
