package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// setPatient keeps a node from losing an agent that lives on a machine that is busy.
func setPatient(cfg *config.Config) {
	cfg.KeepAlive.Interval, cfg.KeepAlive.RetryInterval, cfg.KeepAlive.ReconnectGrace = 10*time.Second, 5*time.Second, time.Second
}

// A node's decisions, and the kinds of the events that a manager gets.
func TestAManagerGetsAnEventOfWhatAsksForAttentionAndOfItsEnd(t *testing.T) {
	fleet := &detector.Fleet{Watched: 40, Lost: 40, Networks: []detector.Network{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Lost: 40}}}
	change := func(from, to detector.Status, reason detector.Reason) detector.Decision {
		return detector.Decision{Verdict: detector.Changed, From: from, To: to, Reason: reason}
	}
	loss := change(detector.Active, detector.Disconnected, detector.ConnectionLost)
	held := loss
	held.AlertHeld = true
	goodbye := change(detector.Active, detector.Disconnected, detector.AgentShutdown)
	startup, back := change(detector.Disconnected, detector.Pending, detector.Startup), change(detector.Pending, detector.Active, detector.Reconnected)
	released, longer := loss, loss
	released.Verdict, longer.Verdict, longer.AwayFor, longer.Step = detector.AlertReleased, detector.Escalated, time.Hour, 2
	releasedGoodbye := goodbye
	releasedGoodbye.Verdict = detector.AlertReleased
	removed := change(detector.Disconnected, detector.Disconnected, detector.AgentRemoved)
	for _, c := range []struct {
		name      string
		decisions []detector.Decision
		want      []string
	}{
		{"a loss, and a return", []detector.Decision{loss, startup, back}, []string{"agent_lost", "agent_back"}},
		{"a restart that is no loss", []detector.Decision{startup, back}, nil},
		{"a reboot with a goodbye", []detector.Decision{goodbye, startup, back}, nil},
		{"a goodbye for longer", []detector.Decision{goodbye, longer, startup, back}, []string{"agent_away", "agent_back"}},
		{"a loss for longer", []detector.Decision{loss, longer, longer, back}, []string{"agent_lost", "agent_away", "agent_away", "agent_back"}},
		{"a loss whose alert is held", []detector.Decision{held, startup, back}, nil},
		{"the same, and it is due", []detector.Decision{held, released, startup, back}, []string{"agent_lost", "agent_back"}},
		{"a goodbye in a silence that ends", []detector.Decision{goodbye, releasedGoodbye, startup, back}, nil},
		{"a lost agent that is removed, and registered anew", []detector.Decision{loss, removed, change(detector.NeverConnected, detector.Active, detector.Connected)}, []string{"agent_lost"}},
		{"an outage", []detector.Decision{held, {Verdict: detector.OutageBegan, Fleet: fleet}, back, {Verdict: detector.OutageEnded, Fleet: fleet}}, []string{"fleet_outage", "fleet_recovered"}},
		{"a flapping agent", []detector.Decision{{Verdict: detector.Flapping, Changes: 6}}, []string{"agent_flapping"}},
		{"a pause of the node itself", []detector.Decision{{Verdict: detector.Resumed}}, nil},
	} {
		var got []string
		e := newManagerEvents("node01", nil, func(format func() string) { got = append(got, kindOfEvent(format())) })
		for _, d := range c.decisions {
			if d.Verdict != detector.OutageBegan && d.Verdict != detector.OutageEnded {
				d.ID, d.Name, d.IP = 1, "web-01", "10.0.0.1"
			}
			d.Time = time.Unix(1716897360, 0)
			e.addDecision(&message.Record{Decision: d, Group: &message.Group{FlapWindow: time.Minute}})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// kindOfEvent returns the kind of one of Pulse's events, and "504" for monitord's.
func kindOfEvent(line string) string {
	if strings.Contains(line, "->wazuh-monitord:ossec: Agent disconnected: ") {
		return "504"
	}
	_, rest, _ := strings.Cut(line, `{"pulse":{"event":"`)
	kind, _, _ := strings.Cut(rest, `"`)
	return kind
}

// countEvents counts the events that a manager has received, by kind.
func countEvents(m *managersim.Manager) map[string]int {
	counts := make(map[string]int)
	for _, line := range m.Events() {
		counts[kindOfEvent(line)]++
	}
	return counts
}

// waitForEvents waits until a manager has received events that fit.
func waitForEvents(t *testing.T, m *managersim.Manager, what string, fits func(counts map[string]int) bool) {
	t.Helper()
	for late := time.After(testTimeout); ; {
		changed := m.Changed()
		if fits(countEvents(m)) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("not %s: %v", what, countEvents(m))
		}
	}
}

func TestAManagersRulesGetTheSameVerdictAsNATS(t *testing.T) {
	t.Parallel()
	m := managed(t)
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	setPatient(cfg)
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	change := h.nextChange("002", event.Disconnected)
	waitForEvents(t, m, "504 and the loss", func(c map[string]int) bool { return c["504"] == 1 && c["agent_lost"] == 1 })
	line := m.Events()[slices.IndexFunc(m.Events(), func(line string) bool { return kindOfEvent(line) == "agent_lost" })]
	for _, want := range []string{"1:[002] (db) ", `"manager_node":"node01"`, `"reason":"connection_lost"`, fmt.Sprintf(`"alert_level":%d`, change.AlertLevel), fmt.Sprintf(`"timestamp":%d`, change.Timestamp)} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if err := agents.Revive("002"); err != nil {
		t.Fatal(err)
	}
	waitForEvents(t, m, "its return", func(c map[string]int) bool { return c["agent_back"] == 1 })
	m.StopDB()
	waitForEvents(t, m, "a condition of the node", func(c map[string]int) bool { return c["node_condition"] > 0 })
	if err := m.StartDB(); err != nil {
		t.Fatal(err)
	}
}

// Where a whole fleet is lost, rule 504 and Pulse's own rules are spared an alert for each
// agent, as NATS is; the database has each loss at once.
func TestAnOutageIsOneEventAtTheManagerToo(t *testing.T) {
	t.Parallel()
	const agents, share = 30, 30
	var keys strings.Builder
	for id := 1; id <= agents; id++ {
		fmt.Fprintf(&keys, "%03d host-%d any %016d\n", id, id, id)
	}
	m := managedAgents(t, keys.String())
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	cfg.KeepAlive.OutageShare, cfg.KeepAlive.OutageHold = share, time.Minute
	setPatient(cfg)
	h := startTestNode(t, cfg)
	fleet := h.startAgents(keys.String(), func(c *agentsim.Config) { c.Manager, c.Notify = m.AgentAddr().String(), time.Second })
	active := 0
	h.nextMessage("active fleet", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.CurrentStatus == event.Active {
			active++
		}
		return active == agents
	})
	for id := 1; id <= agents; id++ {
		if err := fleet.Fail(fmt.Sprintf("%03d", id), agentsim.Kill); err != nil {
			t.Fatal(err)
		}
	}
	waitForEvents(t, m, "an outage", func(c map[string]int) bool { return c["fleet_outage"] == 1 && len(m.Writes()) >= agents })
	for id := 1; id <= agents; id++ {
		if err := fleet.Revive(fmt.Sprintf("%03d", id)); err != nil {
			t.Fatal(err)
		}
	}
	waitForEvents(t, m, "its end", func(c map[string]int) bool { return c["fleet_recovered"] == 1 })
	// On a busy machine some are lost so much earlier than the others that these are not
	// yet enough for an outage.
	if c := countEvents(m); c["504"] > agents*share/100 || c["agent_lost"] != c["504"] || c["agent_back"] > c["504"] || c["fleet_outage"] != 1 {
		t.Errorf("of %d agents: %v", agents, c)
	}
}

// Where nothing is to be written at the manager, it gets no events either.
func TestWithoutUpdateStatusAManagerGetsNothing(t *testing.T) {
	t.Parallel()
	m := managed(t)
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys, cfg.Pulse.UpdateStatus = m.Home(), "", false
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	h.nextChange("002", event.Disconnected)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if len(m.Events()) != 0 || len(m.Writes()) != 0 {
		t.Errorf("%q, %q", m.Events(), m.Writes())
	}
}

// A silence is an event of its own, and what happens to its agents waits for its end, also
// for rule 504; the database has the loss at once.
func TestASilenceHoldsRule504AndIsAnEventItself(t *testing.T) {
	t.Parallel()
	m := managed(t)
	cfg := testSettings(t)
	cfg.Pulse.Home, cfg.Pulse.ClientKeys = m.Home(), ""
	setPatient(cfg)
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Manager = m.AgentAddr().String() })
	h.waitAllActive("001", "002", "003")
	added, err := h.node.silences.Add(t.Context(), &silence.Request{Agent: "002", Comment: "patch night", By: "ann", For: "1h"}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	waitForEvents(t, m, "an event of the silence", func(c map[string]int) bool { return c["silence"] == 1 })
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if c := h.nextChange("002", event.Disconnected); !c.Silenced {
		t.Errorf("%+v", c)
	}
	waitForEvents(t, m, "the loss in the database, and nothing more", func(c map[string]int) bool {
		return len(m.Writes()) == 1 && c["504"] == 0 && c["agent_lost"] == 0
	})
	if _, err := h.node.silences.End(t.Context(), added.Silence.ID, "bob", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	waitForEvents(t, m, "504 and the loss, at the end", func(c map[string]int) bool {
		return c["504"] == 1 && c["agent_lost"]+c["agent_away"] == 1 && c["silence"] == 2
	})
}
