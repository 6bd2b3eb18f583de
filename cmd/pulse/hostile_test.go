package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// hostile is what somebody might call an agent to fool whoever looks at it.
const hostile = "web\x1b[2J\x1b]0;owned\a\r\n\u009b31m\u202egpj\u2028\x00\xff"

// lines checks that a text steers no terminal, and has so many lines.
func lines(t *testing.T, text string, want int) {
	t.Helper()
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(all) != want {
		t.Errorf("%d lines, want %d: %q", len(all), want, text)
	}
	for _, line := range all {
		if !printable.Is(line) {
			t.Errorf("%q", line)
		}
	}
}

func TestWhatAgentsAreCalledSteersNoTerminal(t *testing.T) {
	var table strings.Builder
	fleet := view.AgentPage{Agents: []view.LocatedAgent{{Agent: view.Agent{ID: hostile, Name: hostile, IP: hostile, Status: hostile, Reason: hostile}}}}
	if err := printAgents(&table, &fleet, time.Now()); err != nil {
		t.Fatal(err)
	}
	lines(t, table.String(), 3)
	lines(t, errorLines("pulse: ", usageError{errText(hostile)}), 2)
}

type errText string

func (e errText) Error() string { return string(e) }

func TestAnAuditLineIsOneLineWhateverIsInIt(t *testing.T) {
	for _, text := range []string{
		`{"seq":1,"prev":"x","time":"2026-01-02T03:04:05Z","kind":"refused","error":"\u001b[31m\n\u202e","peer":"1.2.3.4:5"}`,
		`{"seq":1,"prev":"x","time":"2026-01-02T03:04:05Z","kind":"\u001b[31m","\u001b[2J":{"a":"` + "\u009b" + `"},"n":1e3,"b":[true,null]}`,
		`{"seq":1,"kind":`, ``, `[]`, `{"a":"` + "\xff" + `"}`,
	} {
		line := formatAuditLine(&audit.Line{Kind: hostile, Text: []byte(text)})
		lines(t, line, 1)
	}
	good := formatAuditLine(&audit.Line{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Kind: "refused",
		Text: []byte(`{"seq":1,"prev":"x","time":"2026-01-02T03:04:05Z","kind":"refused","error":"no \"way\"","peer":"1.2.3.4:5","empty":"","n":{"m":3}}`)})
	if want := `2026-01-02 03:04:05.000  refused      error="no \"way\"" peer=1.2.3.4:5 empty="" n={"m":3}`; good != want {
		t.Errorf("%s\nwant %s", good, want)
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z", "2026-01-02 03:04": "2026-01-02T03:04:00+01:00",
		"2026-01-02": "2026-01-02T00:00:00+01:00", "9:30": "2026-03-04T09:30:00+01:00", "23:59:59": "2026-03-04T23:59:59+01:00",
		"90m": "2026-03-04T10:30:00+01:00", "2d": "2026-03-02T12:00:00+01:00",
	} {
		if at, err := parseTime(text, now); err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v, want %s", text, at.Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"x", "-1h", "99d99", "2026-13-01", "25:00", hostile} {
		if at, err := parseTime(text, now); err == nil {
			t.Errorf("%q: %v", text, at)
		}
	}
}

func TestHeartbeatsOfSeveralNodesHaveToBeToldApart(t *testing.T) {
	beat := func(node, seq string) string {
		return `{"manager_status":{"manager_node":"` + node + `","audit":{"seq":` + seq + `,"hash":"h` + seq + `"}}}` + "\n"
	}
	text := beat("a", "1") + beat("b", "2") + beat("a", "3") + `{"event":{}}` + "\n" + beat("a", "0")
	if heads, err := readHeartbeats(strings.NewReader(text), "a"); err != nil || len(heads) != 2 || heads[1] != (audit.Head{Seq: 3, Hash: "h3"}) {
		t.Error(heads, err)
	}
	for _, tt := range []struct{ text, node, want string }{
		{text, "", `line 2 is of the node "b", others are of "a": name the node with --node`},
		{text, "c", `no heartbeat in it is of that node: --node "c": want a or b`},
		{`{"event":{}}`, "c", "no heartbeat in it has an audit log"},
		{text + "x", "a", "line 6 is no message of Pulse's"},
		{strings.Repeat("x", maxHeartbeatLine+1), "", "token too long"},
	} {
		if _, err := readHeartbeats(strings.NewReader(tt.text), tt.node); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// Whatever comes on a subject, it is told in one line that steers no terminal.
func FuzzEventsInWords(f *testing.F) {
	f.Add([]byte(`{"event":{"agent_id":"001","agent_name":"\u001b[2J\nweb","event_type":"keepalive_sent"}}`))
	f.Add([]byte(`{"status_change":{"reason":"\u009b","current_status":-7}}`))
	f.Add([]byte(`{"manager_status":{"manager_node":"a","audit":{"state":"failing"}}}`))
	f.Add([]byte(`{"fleet_outage":{"networks":[{"network":"\r"}]}}`))
	f.Add([]byte("\xff\x1b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines(t, printable.Only("a.subject  "+formatMessage(data)), 1)
	})
}

// Whatever is called heartbeats, reading it ends.
func FuzzHeartbeats(f *testing.F) {
	f.Add([]byte(`{"manager_status":{"manager_node":"a","audit":{"seq":1,"hash":"x"}}}`))
	f.Add([]byte("{}\n{}\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if heads, err := readHeartbeats(strings.NewReader(string(data)), ""); err == nil && len(heads) == 0 {
			t.Error("no error and no heads")
		}
	})
}
