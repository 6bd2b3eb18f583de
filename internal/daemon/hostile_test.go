package daemon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Whoever may write client.keys can call an agent what they like. It stays a name: in
// messages, in subjects, in the log and in the audit log.
func TestAHostileNameStaysAName(t *testing.T) {
	t.Parallel()
	names := []string{`a"},"security":{"node":"evil"}}`, `x.y.*.>`, `<script>alert(1)</script>`, `'$(reboot)'`, `{{.}}%s%n`, `..\..\etc`, strings.Repeat("é", 64)}
	refused := []string{"web\x1b[2J", "web\x00", "web\u202egpj", "web\u2028", "web\xff", "web\u009b31m", strings.Repeat("x", 129)}
	var keys strings.Builder
	for i, name := range append(append([]string{}, names...), refused...) {
		fmt.Fprintf(&keys, "%03d %s any %016d\n", i+1, name, i+1)
	}
	cfg := testSettings(t)
	writeKeys(t, cfg, keys.String())
	h := startTestNode(t, cfg)
	h.startAgents(keys.String())
	for seen := map[string]bool{}; len(seen) < len(names); {
		c := h.nextMessage("change", func(m receivedMessage) bool { return m.Change != nil && m.Change.CurrentStatus == event.Active })
		var n int
		if _, err := fmt.Sscan(c.Change.AgentID, &n); err != nil || n > len(names) || c.Change.AgentName != names[n-1] ||
			c.Subject != "wazuh.xdr.agent."+c.Change.AgentID+".status_change" {
			t.Fatalf("%s: %+v", c.Subject, c.Change)
		}
		seen[c.Change.AgentID] = true
	}
	h.log.await(t, "a line of client.keys is skipped", len(refused))
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	trail(t, cfg)
	if err := audit.Read(audittrail.Dir(cfg.Pulse.StateDir), audit.Filter{}, func(l *audit.Line) error {
		if !printable.Is(string(l.Text)) {
			t.Errorf("%q", l.Text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
