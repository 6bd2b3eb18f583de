package alertlevel

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

// Every kind of status change, with the level and the technique that docs/messages.md has for it.
var levelCases = []struct {
	name      string
	change    Change
	want      int
	technique string
}{
	{"the design's three misses", Change{Reason: event.MissedKeepAlives, Missed: 3}, 8, ""},
	{"three misses, and the host lives", Change{Reason: event.MissedKeepAlives, Missed: 3, Host: event.HostAnswers}, 8, ""},
	{"three misses, and the host is silent", Change{Reason: event.MissedKeepAlives, Missed: 3, Host: event.HostSilent}, 8, ""},
	{"one miss", Change{Reason: event.MissedKeepAlives, Missed: 1}, 6, ""},
	{"two misses", Change{Reason: event.MissedKeepAlives, Missed: 2}, 7, ""},
	{"seven misses", Change{Reason: event.MissedKeepAlives, Missed: 7}, 12, ""},
	{"a hundred misses", Change{Reason: event.MissedKeepAlives, Missed: 100}, 12, ""},
	{"a timeout", Change{Reason: event.KeepAliveTimeout}, 6, ""},
	{"a timeout with misses", Change{Reason: event.KeepAliveTimeout, Missed: 3}, 8, ""},
	{"killed, and the host lives", Change{Reason: event.ConnectionLost, Closed: true, Host: event.HostAnswers}, 10, event.ImpairDefenses},
	{"killed after many misses, and the host lives", Change{Reason: event.ConnectionLost, Closed: true, Missed: 9, Host: event.HostAnswers}, 12, event.ImpairDefenses},
	{"killed, and the host is silent", Change{Reason: event.ConnectionLost, Closed: true, Host: event.HostSilent}, 6, ""},
	{"killed, and the host is unknown", Change{Reason: event.ConnectionLost, Closed: true, Host: event.HostUnknown}, 6, ""},
	{"killed, and nobody asked", Change{Reason: event.ConnectionLost, Closed: true}, 6, ""},
	{"a goodbye, and the host lives", Change{Reason: event.AgentShutdown, Closed: true, Host: event.HostAnswers}, 3, ""},
	{"a goodbye", Change{Reason: event.AgentShutdown, Missed: 2}, 3, ""},
	{"away for the first time", Change{Reason: event.ConnectionLost, Closed: true, Step: 1}, 8, ""},
	{"away for the second time", Change{Reason: event.ConnectionLost, Closed: true, Step: 2}, 9, ""},
	{"away for the third time", Change{Reason: event.ConnectionLost, Closed: true, Step: 3}, 10, ""},
	{"away for the fourth time", Change{Reason: event.ConnectionLost, Closed: true, Step: 4}, 10, ""},
	{"a graver loss is no milder for being repeated", Change{Reason: event.MissedKeepAlives, Missed: 7, Step: 1}, 12, ""},
	{"killed, the host lives, and still away", Change{Reason: event.ConnectionLost, Closed: true, Host: event.HostAnswers, Step: 1}, 10, event.ImpairDefenses},
	{"a goodbye, and still away", Change{Reason: event.AgentShutdown, Step: 1}, 8, ""},
	{"a return", Change{Reason: event.Reconnected}, 3, ""},
	{"a first connection", Change{Reason: event.Connected}, 3, ""},
	{"a startup", Change{Reason: event.Startup}, 3, ""},
	{"a move", Change{Reason: event.AgentMoved}, 3, ""},
	{"a loss with its node", Change{Reason: event.NodeLost}, 6, ""},
	{"a removal", Change{Reason: event.AgentRemoved, Missed: 3}, 5, ""},
}

func TestAlertLevelsFollowTheEvidence(t *testing.T) {
	for _, c := range levelCases {
		if got := OfStatusChange(c.change); got != c.want {
			t.Errorf("%s: level %d, want %d", c.name, got, c.want)
		}
		if got := Technique(c.change); got != c.technique {
			t.Errorf("%s: technique %q, want %q", c.name, got, c.technique)
		}
	}
}

// An answer of a host, which anybody on the path can forge, makes a loss only graver.
func TestNoEvidenceMakesALossMilderThanSilence(t *testing.T) {
	for _, reason := range []event.Reason{event.KeepAliveTimeout, event.MissedKeepAlives, event.ConnectionLost, event.AgentShutdown} {
		for missed := range 15 {
			for step := range 5 {
				for _, closed := range []bool{false, true} {
					c := Change{Reason: reason, Missed: missed, Closed: closed, Step: step, Host: event.HostSilent}
					silent := OfStatusChange(c)
					for _, host := range []event.Host{"", event.HostUnknown, event.HostAnswers, "a word of a later version"} {
						if c.Host = host; OfStatusChange(c) < silent {
							t.Errorf("%+v: level %d, and %d when the host is silent", c, OfStatusChange(c), silent)
						}
					}
				}
			}
		}
	}
}

// levelRow is a row of the table in docs/messages.md: a level, and what has it.
var levelRow = regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`)

// The one table of levels names each level that a message can have.
func TestTheTableOfLevelsHasEachLevel(t *testing.T) {
	text, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n### Alert levels\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[int]string{}
	for _, row := range levelRow.FindAllStringSubmatch(table, -1) {
		level, _ := strconv.Atoi(row[1])
		rows[level] += row[2] + " "
	}
	for _, c := range []struct {
		level int
		words string
	}{{Outage, "a fleet outage"}, {NodeLost, "a lost node"}, {Failure, "a condition of a node that is a failure"}, {Warning, "a warning"}, {Flapping, "a flapping agent"},
		{Duplicated, "two machines with one key"}, {impaired, event.ImpairDefenses}, {8, "first"}, {6, "`node_lost`"}, {5, "`agent_removed`"}, {3, "`agent_shutdown`"}, {NodeBack, "of the loss of a node"}} {
		if !strings.Contains(rows[c.level], c.words) {
			t.Errorf("level %d: %q does not name %q", c.level, rows[c.level], c.words)
		}
	}
}
