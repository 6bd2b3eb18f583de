package daemon

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// managed runs a stock manager that knows the agents of keyFile.
func managed(t *testing.T) *managersim.Manager {
	t.Helper()
	return managedAgents(t, keyFile)
}

// managedAgents runs a stock manager that knows the agents of a key file.
func managedAgents(t *testing.T, keyFile string) *managersim.Manager {
	t.Helper()
	home, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	set, _, err := clientkeys.Parse(strings.NewReader(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Keys()
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// Where a manager is installed, a node with default settings watches its agents.
func TestBesideAManagerItsAgentsAreWatched(t *testing.T) {
	t.Parallel()
	m := managed(t)
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), "" // not needed
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	h.nextMessage("answer", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged
	})
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("002", event.Disconnected); got.Reason != event.ConnectionLost || got.PreviousStatus != event.Active {
		t.Errorf("%+v", got)
	}
	status := h.node.Status()
	if status.Link.Kind != event.LinkAttach || status.Link.Attach == nil || status.Link.Attach.Requests == 0 || h.node.AgentAddr().IsValid() {
		t.Errorf("%+v", status.Link)
	}
	m.StopDB()
	for ill, late := false, time.After(testTimeout); !ill; {
		ill = strings.Contains(strings.Join(h.node.Status().Health.Failures, " "), "wazuh-db is not running")
		select {
		case <-time.After(100 * time.Millisecond):
		case <-late:
			t.Fatalf("the health does not tell: %+v", h.node.Status().Health)
		}
	}
	if err := m.StartDB(); err != nil {
		t.Fatal(err)
	}
}

// A manager's table that is empty removes nobody at once, and is a condition of the node.
func TestAManagersEmptiedTableIsLoudAndRemovesNobodyAtOnce(t *testing.T) {
	t.Parallel()
	m := managed(t)
	cfg := patientSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	h := startTestNode(t, cfg)
	h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	if err := m.Exec("DELETE FROM agent WHERE id > 0"); err != nil {
		t.Fatal(err)
	}
	c := h.nextMessage("condition", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.Reason == event.AgentRemoved {
			t.Errorf("%+v", m.Change)
		}
		return m.Condition != nil && m.Condition.Code == "agents_vanished"
	}).Condition
	if c.State != event.ConditionBegan || !strings.HasPrefix(c.Problem, "3 of 3 agents vanished") {
		t.Errorf("%+v", c)
	}
	h.awaitAnswer("/healthz", http.StatusServiceUnavailable, "3 of 3 agents vanished")
	if s := h.node.Status(); s.Agents.Active != 3 || s.Link.Inventory.Held != 3 {
		t.Errorf("%+v, %+v", s.Agents, s.Link.Inventory)
	}
}

func TestAManagerWithoutSettingsIsRefused(t *testing.T) {
	m := managed(t)
	if err := os.Remove(m.Home() + "/etc/ossec.conf"); err != nil {
		t.Fatal(err)
	}
	cfg := testSettings(t)
	cfg.Pulse.Home = m.Home()
	if n, err := Open(t.Context(), cfg, "1.2.3", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "ossec.conf") {
		if err == nil {
			_ = n.close()
		}
		t.Errorf("%v", err)
	}
}
