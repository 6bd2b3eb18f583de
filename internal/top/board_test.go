package top

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local)

// full is a board with something of everything.
func full(t *testing.T) *Board {
	t.Helper()
	b := &Board{Live: true}
	var s Summary
	if err := json.Unmarshal([]byte(`{"at":"2026-11-25T12:00:00Z","agents":{"active":30,"disconnected":2,"pending":1,"never_connected":7},"outage":null,
		"health":{"failures":["the NATS server is unavailable"],"warnings":["3 messages are set aside"]},"sequence":1234,
		"node":{"node":"node01","version":"1.2.3","uptime":3661,"link":{"kind":"listen","connections":31},"nats":{"state":"unavailable","problem":"connection_refused"}},
		"point":{"at":"2026-11-25T12:00:00Z","agents":{"active":30,"disconnected":2,"pending":1,"never_connected":7},"outbox_depth":17,"sweep_late_ms":0.4}}`), &s); err != nil {
		t.Fatal(err)
	}
	b.SetSummary(&s)
	seen := noon.Add(-25 * time.Second)
	b.SetDisconnected(&view.AgentPage{Total: 2, Agents: []view.LocatedAgent{
		{Agent: view.Agent{ID: "002", Name: "db-01", IP: "10.0.0.2", Status: "disconnected", Reason: "missed_keepalives", Since: noon.Add(-4 * time.Second), LastSeen: &seen}},
		{Agent: view.Agent{ID: "009", Name: "mail", IP: "any", Status: "disconnected", Reason: "agent_shutdown", Since: noon.Add(-50 * time.Hour),
			AgentInfo: event.AgentInfo{WazuhGroups: []string{"default", "mail"}, OSName: "Debian GNU/Linux", OSVersion: "12", AgentVersion: "v4.9.2"}}}}})
	ms := func(v float64) *float64 { return &v }
	b.SetEvents([]view.Event{{Kind: "pulse_was_away", KnownAt: noon.Add(-time.Hour)}})
	b.AddEvents([]view.Event{
		{Kind: "status_change", KnownAt: noon.Add(-5 * time.Second), Name: "web", IP: "10.0.0.1", To: "active", Reason: "reconnected", Delay: ms(120)},
		{Kind: "status_change", KnownAt: noon.Add(-4 * time.Second), Name: "db-01", IP: "10.0.0.2", To: "disconnected", Reason: "missed_keepalives", Delay: ms(20500)},
		{Kind: "agent_flapping", KnownAt: noon.Add(-3 * time.Second), Name: "lap", IP: "10.0.0.7", Changes: 7},
		{Kind: "fleet_outage", KnownAt: noon.Add(-2 * time.Second), Fleet: &view.Outage{Watched: 50, Lost: 40, Silent: 40}},
		{Kind: "fleet_recovered", KnownAt: noon.Add(-time.Second), Fleet: &view.Outage{Lost: 40, Back: 30}},
	})
	return b
}

func TestABoardHasAllThatThereIsToSee(t *testing.T) {
	want := `PULSE node01 1.2.3  2 away  live 12:00:00
█ 30 active   × 2 disconnected   ▒ 1 pending   · 7 never connected   
██████████████████████████████████████████████████████████████████████████████████████████××××××▒▒▒·····················
link listen, 31 connections · NATS unavailable connection_refused · outbox 17 · sweep 0.4 ms late · sequence 1234 · up …
! the NATS server is unavailable
! 3 messages are set aside

AWAY  2
× db-01                    10.0.0.2        missed_keepalives since 4.0s   seen 25s ago
× mail                     any             agent_shutdown    since 2d     seen never · default,mail · Debian GNU/Linux …

JUST NOW
11:59:59 the fleet is back: 30 of 40
11:59:58 FLEET OUTAGE: 40 of 50 agents lost, 40 fell silent, 0 closed their connections
11:59:57 ~ lap                      10.0.0.7        flaps: 7 status changes
11:59:56 × db-01                    10.0.0.2        disconnected missed_keepalives known after 20s
11:59:55 █ web                      10.0.0.1        active       reconnected       known after 120ms
11:00:00 Pulse itself was stopped or starved`
	if diff := cmp.Diff(want, strings.Join(full(t).Draw(120, 40, noon), "\n")); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}

func TestABoardSaysWhichAgentsOnlyTheDatabaseShows(t *testing.T) {
	b := full(t)
	if err := json.Unmarshal([]byte(`{"kind":"attach","attach":{"connections":2,"agents_not_asked":10,"not_asked_lost_after":80}}`), &b.summary.Node.Link); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(b.Draw(200, 40, noon), "\n"); !strings.Contains(text, "link attach, 2 connections, 10 agents seen in the database only (lost after 1m20s) ·") {
		t.Error(text)
	}
}

func TestABoardFitsEveryScreen(t *testing.T) {
	for _, size := range [][2]int{{200, 60}, {80, 24}, {40, 12}, {20, 5}, {1, 1}} {
		b := full(t)
		for range 3 {
			b.AddEvents(slices.Repeat([]view.Event{{Kind: "status_change", Name: "x", To: "pending"}}, maxEvents-10))
		}
		lines := b.Draw(size[0], size[1], noon)
		if len(lines) > size[1] {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > max(size[0], 20) {
				t.Errorf("%v: %d wide: %s", size, n, line)
			}
		}
		if len(b.events) != maxEvents {
			t.Errorf("%d events are kept", len(b.events))
		}
	}
	if lines := new(Board).Draw(80, 24, noon); !strings.Contains(lines[0], "asking  not connected") {
		t.Error(lines[0])
	}
}

func TestABoardHasTheNodesOfACluster(t *testing.T) {
	b := full(t)
	b.summary.Cluster = &view.NodeList{Cluster: true, Nodes: []view.Node{{Name: "node01", State: view.NodeUp, Agents: 20}, {Name: "node02", State: view.NodeLost, Agents: 12, BeatAge: 32},
		{Name: "node03", State: view.NodeUnknown}}}
	b.disconnected.Agents[0].Node = "node02"
	b.AddEvents([]view.Event{{Kind: "status_change", KnownAt: noon, Name: "web", IP: "10.0.0.1", Node: "node02", To: "active", Reason: "agent_moved"}})
	lines := strings.Join(b.Draw(120, 40, noon), "\n")
	for _, want := range []string{"\nnodes 3, 1 up, 32 agents · node02 lost 32s · node03 unknown\n", " missed_keepalives node:node02     since 4.0s   seen 25s ago\n", " active       agent_moved       node:node02\n",
		" disconnected missed_keepalives node:node01 known after 20s\n"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not in\n%s", want, lines)
		}
	}
}

// Agents choose their names.
func TestNobodySteersTheTerminal(t *testing.T) {
	const evil = "a\x1b]0;x\a\x1b[2J\u202egpj\n\u009bm"
	b := full(t)
	b.disconnected.Agents[0].Name, b.disconnected.Agents[0].IP, b.disconnected.Agents[0].Reason = evil, evil, evil
	b.disconnected.Agents[0].AgentInfo = event.AgentInfo{WazuhGroups: []string{evil}, OSName: evil, AgentVersion: evil}
	b.AddEvents([]view.Event{{Kind: "status_change", Name: evil, IP: evil, To: evil, Reason: evil}, {Kind: "agent_flapping", Name: evil, IP: evil}, {Kind: "node_lost", Node: evil}, {Kind: "agent_duplicated", Name: evil, Machines: []event.Machine{{Node: evil, IPAddress: evil}}}, {Kind: evil}})
	b.summary.Node.Node, b.summary.Node.Version, b.summary.Node.NATS.Problem, b.summary.Node.Link.Kind = evil, evil, evil, evil
	b.summary.Health.Failures = []string{evil}
	for _, line := range b.Draw(120, 40, noon) {
		if !printable.Is(line) {
			t.Errorf("%q", line)
		}
	}
	b.Colour = true
	for _, line := range b.Draw(120, 40, noon) {
		for _, tone := range []string{bold, dim, red, green, yellow, "0"} {
			line = strings.ReplaceAll(line, "\x1b["+tone+"m", "")
		}
		if !printable.Is(line) {
			t.Errorf("in colour: %q", line)
		}
	}
}

// crowd is a board with 61 agents that were lost within a second, and one that was lost before.
func crowd(t *testing.T) *Board {
	t.Helper()
	b := full(t)
	away := view.AgentPage{Total: 61}
	var events []view.Event
	for i := range 61 {
		reason := "connection_lost"
		if i%3 == 0 {
			reason = "missed_keepalives"
		}
		ip := fmt.Sprintf("10.1.%d.7", i)
		away.Agents = append(away.Agents, view.LocatedAgent{Agent: view.Agent{ID: fmt.Sprintf("%03d", i), Name: fmt.Sprintf("plc-%02d", i), IP: ip, Reason: reason, Since: noon}})
		events = append(events, view.Event{Kind: "status_change", KnownAt: noon.Add(time.Duration(i) * 10 * time.Millisecond), ID: fmt.Sprintf("%03d", i), Name: fmt.Sprintf("plc-%02d", i), IP: ip, To: "disconnected", Reason: reason})
	}
	events = append(events, view.Event{Kind: "fleet_outage", KnownAt: noon.Add(700 * time.Millisecond), Fleet: &view.Outage{Watched: 90, Lost: 61}})
	b.SetDisconnected(&away)
	b.AddEvents(events)
	return b
}

func TestAgentsThatAreLostWithinASecondAreOneLine(t *testing.T) {
	b := crowd(t)
	text := strings.Join(b.Draw(140, 100, noon), "\n")
	want := "JUST NOW\n12:00:00 FLEET OUTAGE: 61 of 90 agents lost, 0 fell silent, 0 closed their connections\n" +
		"12:00:00 × 61 agents disconnected 40 connection_lost, 21 missed_keepalives · plc-60, plc-59, "
	if !strings.Contains(text, want) || strings.Contains(text, "12:00:00 × plc-") {
		t.Errorf("%q is not in\n%s", want, text)
	}
	// Another status, and what is more than a second away, are lines of their own; so are two.
	if !strings.Contains(text, "\n11:59:56 × db-01 ") || !strings.Contains(text, "\n11:59:55 █ web ") {
		t.Error(text)
	}
	b.AddEvents([]view.Event{{Kind: "status_change", KnownAt: noon.Add(time.Hour), Name: "a", To: "active"}, {Kind: "status_change", KnownAt: noon.Add(time.Hour), Name: "b", To: "active"}})
	if text := strings.Join(b.Draw(140, 100, noon), "\n"); !strings.Contains(text, "13:00:00 █ b ") || !strings.Contains(text, "13:00:00 █ a ") {
		t.Error(text)
	}
}

func TestAListScrollsByLinesPagesAndToItsEnds(t *testing.T) {
	b := crowd(t)
	shows := func(title, first, last string) {
		t.Helper()
		lines := b.Draw(140, 30, noon)
		text := strings.Join(lines, "\n")
		if !strings.Contains(text, title) || !strings.Contains(text, "\n× "+first+" ") || !strings.Contains(text, "\n× "+last+" ") {
			t.Errorf("no %q with %s to %s:\n%s", title, first, last, text)
		}
		if len(lines) > 30 {
			t.Errorf("%d lines", len(lines))
		}
	}
	shows("AWAY  2  1-12 of 61  ↑↓", "plc-00", "plc-11")
	b.ScrollLines(1)
	shows("2-13 of 61", "plc-01", "plc-12")
	b.ScrollPages(1)
	shows("14-25 of 61", "plc-13", "plc-24")
	b.ScrollTo(true)
	shows("50-61 of 61", "plc-49", "plc-60")
	b.ScrollLines(5)
	shows("50-61 of 61", "plc-49", "plc-60")
	b.ScrollPages(-1)
	shows("38-49 of 61", "plc-37", "plc-48")
	b.ScrollTo(false)
	b.ScrollLines(-1)
	shows("1-12 of 61", "plc-00", "plc-11")
	b.SwitchPane()
	b.ScrollTo(true)
	shows("AWAY  2  1-12 of 61", "plc-00", "plc-11")
}

func TestAFilterIsThatOfTheDashboard(t *testing.T) {
	agent := view.LocatedAgent{Group: "plant", Agent: view.Agent{ID: "017", Name: "PLC-07", IP: "10.1.2.3", Node: "node02",
		AgentInfo: event.AgentInfo{WazuhGroups: []string{"default", "plc/a"}, OSName: "Debian GNU/Linux", OSVersion: "12", AgentVersion: "v4.14.7"}}}
	for text, want := range map[string]bool{
		"": true, "plc": true, "017": true, "10.1.": true, "plc 017 10.1": true, "plc 018": false, "name:plc-*": true, "NAME:plc": false, "id:01?": true, "ip:10.1.*": true, "ip:10.1.2.4": false,
		"net:10.1.0.0/16": true, "net:10.1.9.9/16": true, "net:10.2.0.0/16": false, "net:10.1.2.3": true, "net:10.1.*": true, "net:::/0": false, "net:fe80::/10": false,
		"group:plant": true, "group:plc*": true, "group:web": false, "node:node0*": true, "node:node01": false, "os:debian": true, "os:debian*12": true, "os:debian*13": false,
		"version:4.14": true, "version:v4.14.7": true, "version:4.1": false, "version:4.1?.*": true, "name:plc-* net:10.1.0.0/24": false, "name:": true, "fe80::": false,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if f.MatchesAgent(&agent) != want {
			t.Errorf("%q matches: %v", text, !want)
		}
	}
	for text, want := range map[string]string{"status:lost": `there is no filter "status": there are name:, ip:, net:, id:, group:, node:, os:, version:`,
		"net:10.1.0.0/33": `"10.1.0.0/33" is no network: net: wants one such as 10.1.0.0/16, or 10.1.*`, "name:[": `"[" is no pattern`} {
		if _, err := ParseFilter(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	b := crowd(t)
	f, err := ParseFilter("name:plc-1*")
	if err != nil {
		t.Fatal(err)
	}
	b.SetFilter(f)
	b.Prompt = "/name:plc-1*"
	lines := b.Draw(140, 40, noon)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"\nAWAY  10 of 2  filter name:plc-1*\n", "\n× plc-10 ", "FLEET OUTAGE", "× 10 agents disconnected "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(lines) != 40 || lines[39] != "/name:plc-1*" || strings.Contains(text, "web ") {
		t.Error(text)
	}
}

// FuzzParseFilter holds that any text is a filter or refused in one line.
func FuzzParseFilter(f *testing.F) {
	for _, text := range []string{"web", "name:[a-", "net:10.0.0.0/8 os:x", "net:::/0", "fe80::1", "a:b:c", "version:v"} {
		f.Add(text, "web-1")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		filter, err := ParseFilter(text)
		switch {
		case err != nil && !printable.Is(err.Error()):
			t.Errorf("%q", err)
		case err == nil:
			filter.MatchesAgent(&view.LocatedAgent{Agent: view.Agent{Name: name, IP: name, AgentInfo: event.AgentInfo{AgentVersion: name, OSName: name}}})
		}
	})
}
