package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// Beside a manager of Wazuh 5, its agents of 4 are asked as ever and those of 5 never.
func TestBesideWazuh5AgentsOf4AreAskedAndThoseOf5Never(t *testing.T) {
	t.Parallel()
	home, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	of5 := fmt.Sprintf("1024 five-1 any %064d\n1025 five-2 any %064d\n", 1, 2)
	set, _, err := clientkeys.Parse(strings.NewReader(keyFile + "\n" + of5))
	if err != nil {
		t.Fatal(err)
	}
	m, err := managersim.Start(managersim.Config{Home: home, Keys: set.Keys(), Version: "v5.0.0", Wazuh5: managersim.Wazuh5{Throttle: time.Second, Age: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	h := startTestNode(t, cfg)
	four := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	five := h.startAgents(of5, func(c *agentsim.Config) {
		c.Manager, c.Wazuh5.On = m.ControlAddr().String(), true
	})
	h.waitAllActive("001", "002", "003", "1024", "1025")
	h.nextMessage("answer", func(m receivedMessage) bool {
		return m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged
	})
	h.await("what shows a loss is counted", func() bool {
		a := h.node.Status().Link.Attach
		return a.Agents == 5 && a.Unaskable == 2 && a.LostAfter == 21
	})
	if err := four.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("002", event.Disconnected); got.Reason != event.ConnectionLost {
		t.Errorf("%+v", got)
	}
	if err := five.Fail("1024", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	if got := h.nextChange("1024", event.Disconnected); got.Reason != event.AgentShutdown {
		t.Errorf("%+v", got)
	}
	if s := m.Stats(); s.Requests == 0 || s.Requests5 > 0 || s.HTTPSyncs > 0 || s.Events > 0 {
		t.Errorf("%+v", s)
	}
	for _, write := range m.Writes() {
		if strings.Contains(write, `"id":1025,`) {
			t.Errorf("of an agent that lives: %s", write)
		}
	}
}
