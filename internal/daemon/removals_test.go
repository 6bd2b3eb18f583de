package daemon

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
)

// keysOf are the lines of agents from one number to another.
func keysOf(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%03d host-%d any %064x\n", i, i, i)
	}
	return b.String()
}

// An emptied file is a condition and no removed fleet, a restart changes nothing of
// that, and what is still gone after the hold is removed.
func TestAnEmptiedListOfAgentsIsLoudAndRemovesNobodyAtOnce(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	fleet := keysOf(1, 6)
	writeKeys(t, cfg, fleet)
	h := startTestNode(t, cfg)
	h.startAgents(fleet)
	h.waitAllActive("001", "002", "003", "004", "005", "006")
	if err := os.Truncate(cfg.Pulse.ClientKeys, 0); err != nil {
		t.Fatal(err)
	}
	began := func(h *testNode) {
		t.Helper()
		c := h.nextMessage("condition", func(m receivedMessage) bool {
			if m.Change != nil && m.Change.Reason == event.AgentRemoved {
				t.Errorf("%+v", m.Change)
			}
			return m.Condition != nil
		}).Condition
		if c.Code != "agents_vanished" || c.State != event.ConditionBegan || !strings.HasPrefix(c.Problem, "6 of 6 agents vanished") || c.AlertLevel != alertlevel.Failure {
			t.Errorf("%+v", c)
		}
	}
	began(h)
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "6 of 6 agents vanished")
	if s := h.node.Status(); s.Agents.Active != 6 || s.Link.Inventory.Held != 6 {
		t.Errorf("%+v, %+v", s.Agents, s.Link.Inventory)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}

	again := openTestNode(t, cfg)
	again.node.link.(*listenLink).agents.Hold = 2 * time.Second
	again.subscribe(cfg)
	again.startNode()
	began(again)
	var removed []string
	again.nextMessage("removals", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.Reason == event.AgentRemoved {
			removed = append(removed, m.Change.AgentID)
		}
		return len(removed) == 6
	})
	again.awaitAnswer("/readyz", http.StatusServiceUnavailable, "the node watches nobody")
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(removed)
	if removed = slices.Compact(removed); len(removed) != 6 {
		t.Errorf("removed %q", removed)
	}
}

func TestAListOfAgentsThatCannotBeReadStaysAndIsLoud(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive("001", "002", "003")
	if err := os.Rename(cfg.Pulse.ClientKeys, cfg.Pulse.ClientKeys+".away"); err != nil {
		t.Fatal(err)
	}
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "the list of agents stays as it was last read")
	if err := os.Rename(cfg.Pulse.ClientKeys+".away", cfg.Pulse.ClientKeys); err != nil {
		t.Fatal(err)
	}
	h.log.await(t, "client.keys can be read again", 1)
	h.awaitAnswer("/healthz", http.StatusOK, "ok")
	for _, m := range h.drainMessages() {
		if m.Change != nil && m.Change.CurrentStatus == event.Disconnected {
			t.Errorf("%+v", m.Change)
		}
	}
}
