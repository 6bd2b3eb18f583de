package wazuhrules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/wazuhevent"
)

// sample is an event, and what its alert has to be.
type sample struct {
	name, datagram string
	level          int
	group          string
}

var (
	lossReasons = []event.Reason{event.ConnectionLost, event.MissedKeepAlives, event.KeepAliveTimeout}
	hosts       = []event.Host{"", event.HostUnknown, event.HostSilent, event.HostAnswers}
)

// listSamples returns events of every kind, with every reason, host and level.
func listSamples() (list []sample) {
	c := event.StatusChange{AgentID: "001", AgentName: "web-01", PreviousStatus: event.Active, CurrentStatus: event.Disconnected, IPAddress: "10.0.0.1",
		Timestamp: 1716897360, MissedKeepAlives: 3, LastSeen: 1716897300}
	c.WazuhGroups, c.OSName, c.OSVersion, c.AgentVersion = []string{"default", "web"}, "Ubuntu", "22.04", "v4.14.7"
	for _, c.Reason = range lossReasons {
		for _, c.Host = range hosts {
			for c.AlertLevel = 6; c.AlertLevel <= 12; c.AlertLevel++ {
				list = append(list, sample{fmt.Sprintf("%s, host %s, level %d", c.Reason, c.Host, c.AlertLevel), wazuhevent.FormatStatusChange(wazuhevent.AgentLost, "node01", c),
					c.AlertLevel, "pulse_host_" + string(cmpOr(c.Host, event.HostUnknown))})
			}
		}
	}
	c.AwayFor, c.Host = 3600, event.HostSilent
	for _, c.Reason = range append(lossReasons, event.AgentShutdown) {
		for c.AlertLevel = 8; c.AlertLevel <= 12; c.AlertLevel++ {
			list = append(list, sample{fmt.Sprintf("away, %s, level %d", c.Reason, c.AlertLevel), wazuhevent.FormatStatusChange(wazuhevent.AgentAway, "node01", c), c.AlertLevel, "pulse_away"})
		}
	}
	back := c
	back.Reason, back.Host, back.AwayFor, back.AlertLevel, back.CurrentStatus, back.PreviousStatus = event.Reconnected, "", 0, 3, event.Active, event.Disconnected
	outage := event.FleetOutage{ManagerNode: "node01", Timestamp: 1716897360, Since: 1716897350, AgentsWatched: 500, AgentsLost: 400, ConnectionsClosed: 400,
		Networks: []event.Network{{Network: "10.0.0.0/24", Agents: 250}, {Network: "10.0.1.0/24", Agents: 150}}, HostsProbed: 20, HostsAnswered: 1, AlertLevel: 13}
	over := outage
	over.AgentsBack, over.AlertLevel = 390, 3
	condition := func(state event.State, level int) string {
		return wazuhevent.FormatCondition(event.NodeCondition{ManagerNode: "node01", Code: "dead_letters", State: state, Problem: "3 messages are set aside", Since: 1716897350, Timestamp: 1716897360, AlertLevel: level})
	}
	return append(list,
		sample{"back", wazuhevent.FormatStatusChange(wazuhevent.AgentBack, "node01", back), 3, "pulse_back"},
		sample{"flapping", wazuhevent.FormatFlapping("node01", event.AgentFlapping{AgentID: "001", AgentName: "web-01", IPAddress: "any", Timestamp: 1716897360, StatusChanges: 6, Window: 600, AlertLevel: 9}), 9, "pulse_flapping"},
		sample{"an outage", wazuhevent.FormatOutage(wazuhevent.FleetOutage, outage), 13, "pulse_outage"},
		sample{"its end", wazuhevent.FormatOutage(wazuhevent.FleetRecovered, over), 3, "pulse_outage"},
		sample{"a warning", condition(event.ConditionBegan, 7), 7, "pulse_node"},
		sample{"a failure", condition(event.ConditionBegan, 12), 12, "pulse_node"},
		sample{"a condition's end", condition(event.ConditionEnded, 3), 3, "pulse_node"},
		sample{"a silence", wazuhevent.FormatSilence("node01", wazuhevent.Silence{ID: "node01-7", State: event.ConditionBegan, Change: "added", Selects: "group web", Times: "until tomorrow", By: "ann", Timestamp: 1716897360}), 5, "pulse_silence"},
		sample{"its end", wazuhevent.FormatSilence("node01", wazuhevent.Silence{ID: "node01-7", State: event.ConditionEnded, Change: "expired", Selects: "group web", Times: "until tomorrow", By: "ann", Timestamp: 1716897360}), 3, "pulse_silence"},
		sample{"a loss for a reason of a later version", wazuhevent.FormatStatusChange(wazuhevent.AgentLost, "node01", event.StatusChange{AgentID: "001", AgentName: "web-01", Reason: "node_lost", AlertLevel: 6}), 6, "pulse_lost"},
		sample{"an event of a later version", wazuhevent.FormatStatusChange("agent_painted", "node01", c), 3, "pulse"},
		sample{"an outage of a later version", wazuhevent.FormatOutage("fleet_painted", outage), 3, "pulse"},
		sample{"a name of any characters", wazuhevent.FormatStatusChange(wazuhevent.AgentBack, "node01",
			event.StatusChange{AgentID: "003", AgentName: "x\"},\"pulse\":{\"event\":\"fleet_outage\"}} |:)\n(y) any-pulse->pulse:ossec: \x1b<b>", IPAddress: "2001:db8::7", AlertLevel: 3}), 3, "pulse_back"},
		sample{"a very long name", wazuhevent.FormatStatusChange(wazuhevent.AgentBack, "node01", event.StatusChange{AgentID: "100003", AgentName: strings.Repeat("<", 1<<16), IPAddress: strings.Repeat("1", 1<<16), AlertLevel: 3}), 3, "pulse_back"},
	)
}

// listClusterSamples returns events of a cluster. No recording has them yet: they are of the
// forms of others that it has.
func listClusterSamples() []sample {
	return []sample{
		{"a lost node", wazuhevent.FormatNodeLoss(wazuhevent.NodeLost, event.NodeLoss{Node: "worker1", AnnouncedBy: "node01", Timestamp: 1716897360, Since: 1716897332, Agents: 250, Manager: event.ManagerSilent, Beat: 8812, AlertLevel: 13}), 13, "pulse_cluster"},
		{"its return", wazuhevent.FormatNodeLoss(wazuhevent.NodeBack, event.NodeLoss{Node: "worker1", AnnouncedBy: "worker1", Timestamp: 1716897360, Agents: 249, Beat: 8812, AlertLevel: 3}), 3, "pulse_cluster"},
		{"a duplicated agent", wazuhevent.FormatDuplicated("node01", event.AgentDuplicated{AgentID: "001", AgentName: "web-01", Timestamp: 1716897360, AlertLevel: 10,
			Machines: []event.Machine{{Node: "node01", IPAddress: "10.0.0.1"}, {Node: "worker1", IPAddress: "any"}}}), 10, "pulse_duplicated"},
	}
}

func cmpOr(a, b event.Host) event.Host {
	if a == "" {
		return b
	}
	return a
}

// The same level in the manager as on NATS, whatever happened, by exactly one rule.
func TestEveryEventHasOneRuleOfItsLevel(t *testing.T) {
	rules := parseRules(t, Format(DefaultFirstID))
	used := make(map[int]bool)
	for _, s := range append(listSamples(), listClusterSamples()...) {
		r := rules.findRule(t, s.datagram)
		if r == nil || r.Level != s.level || !slices.Contains(strings.Split(rules.Name+r.Groups, ","), s.group) {
			t.Errorf("%s: %+v, want level %d and group %s", s.name, r, s.level, s.group)
			continue
		}
		used[r.ID] = true
	}
	for _, r := range rules.Rules {
		if !used[r.ID] && r.Level > 0 {
			t.Errorf("no event makes an alert of rule %d: %s", r.ID, r.Description)
		}
	}
}

// forgeries are events as remoted passes them on from an agent that may send any text, and
// from others that send logs to a manager.
var forgeries = []string{
	`1:[001] (web-01) any->pulse:{"pulse":{"event":"fleet_outage","alert_level":13}}`,
	`1:[001] (web-01) any->) any-pulse->pulse:{"pulse":{"event":"fleet_outage","alert_level":13}}`,
	`1:[001] (web-01) any->x-pulse->pulse:{"pulse":{"event":"agent_lost","agent_id":"002","alert_level":12}}`,
	`1:[001] (web-01) 10.0.0.0/8->10.0.0.1-pulse->pulse:{"pulse":{"event":"agent_lost","agent_id":"002","alert_level":12}}`,
	`1:[001] (web-01) any->[002] (db-01) any-pulse->pulse:{"pulse":{"event":"agent_lost","agent_id":"002","alert_level":12}}`,
	`1:10.0.0.9:{"pulse":{"event":"node_condition","state":"began","alert_level":12}}`,
	`1:/var/log/pulse:{"pulse":{"event":"node_condition","state":"began","alert_level":12}}`,
}

func TestNoAgentCanForgeAnEvent(t *testing.T) {
	rules := parseRules(t, Format(DefaultFirstID))
	for _, datagram := range forgeries {
		if r := rules.findRule(t, datagram); r != nil {
			t.Errorf("rule %d matches %s", r.ID, datagram)
		}
	}
}

func TestTheRulesAreWellFormed(t *testing.T) {
	for _, first := range []int{DefaultFirstID, lowestID, highestID - idCount + 1} {
		rules := parseRules(t, Format(first))
		known := map[int]bool{0: true}
		for _, r := range rules.Rules {
			if known[r.ID] || r.ID < first || r.ID >= first+idCount || r.Level < 0 || r.Level > 15 || len(r.Others) > 0 {
				t.Errorf("rule %d: %+v", r.ID, r)
			}
			if !known[r.Parent] || (r.Parent == 0) != (r.DecodedAs != "") {
				t.Errorf("rule %d comes before its parent %d", r.ID, r.Parent)
			}
			known[r.ID] = true
			if r.Level >= 6 && r.Level != 9 && r.Level != 13 && (len(r.Mitre) == 0) != (strings.Contains(r.Groups, "pulse_node") || strings.Contains(r.Groups, "pulse_duplicated")) {
				t.Errorf("rule %d: techniques %q", r.ID, r.Mitre)
			}
			if r.Groups != "" && (!strings.HasSuffix(r.Groups, ",") || !strings.Contains(r.Groups, "pci_dss_10.6.1,") || !strings.Contains(r.Groups, "gdpr_IV_35.7.d,") ||
				!strings.Contains(r.Groups, "hipaa_164.312.b,") || !strings.Contains(r.Groups, "nist_800_53_AU.6,") || !strings.Contains(r.Groups, "tsc_CC7.2,") || !strings.Contains(r.Groups, "gpg13_10.1,")) {
				t.Errorf("rule %d: groups %s", r.ID, r.Groups)
			}
		}
	}
	for _, r := range allRules() { // Wazuh's parser knows no entities
		for _, text := range append([]string{r.location, r.description, r.groups}, fmt.Sprint(r.fields)) {
			if strings.ContainsAny(text, "<&") {
				t.Errorf("rule %d: %s", r.number, text)
			}
		}
	}
}

func TestTheFirstIDLeavesAllInWhatIsTheUsers(t *testing.T) {
	for first, good := range map[int]bool{DefaultFirstID: true, 100000: true, 119901: true, 119902: false, 120000: false, 99999: false, 0: false, -1: false} {
		if err := ValidFirstID(first); (err == nil) != good {
			t.Errorf("%d: %v", first, err)
		}
	}
}

// The file of the packages is the one that the command makes.
func TestThePackagedFileIsMadeFromTheRules(t *testing.T) {
	file := "../../deploy/wazuh/" + FileName
	if os.Getenv("UPDATE_RULES") != "" {
		if err := os.WriteFile(file, Format(DefaultFirstID), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, Format(DefaultFirstID)) {
		t.Errorf("%v; UPDATE_RULES=1 go test ./internal/wazuhrules makes it anew", err)
	}
}

// recording is what wazuh-analysisd 4.14.7 made of an event, with the packaged rules
// beside all of its own.
type recording struct {
	Datagram string            `json:"datagram"`
	Rule     int               `json:"rule"` // 0: no alert
	Level    int               `json:"level"`
	Agent    map[string]string `json:"agent"`
}

// What these tests hold for the rules of analysisd is what it does: SAMPLES=FILE writes
// the events to a file, to be sent to a real one.
func TestARealAnalysisdMakesTheSameAlerts(t *testing.T) {
	var datagrams []string
	for _, s := range listSamples() {
		datagrams = append(datagrams, s.datagram)
	}
	datagrams = append(datagrams, forgeries...)
	if file := os.Getenv("SAMPLES"); file != "" {
		if err := os.WriteFile(file, []byte(strings.Join(datagrams, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/analysisd-4.14.7.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	recorded := make(map[string]recording)
	for line := range bytes.Lines(text) {
		var r recording
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		recorded[r.Datagram] = r
	}
	rules := parseRules(t, Format(DefaultFirstID))
	for _, datagram := range datagrams {
		want, has := recorded[datagram]
		if !has {
			t.Errorf("not recorded: %s", datagram)
			continue
		}
		var got recording
		if r := rules.findRule(t, datagram); r != nil {
			got.Rule, got.Level = r.ID, r.Level
		}
		if got.Rule != want.Rule || got.Level != want.Level {
			t.Errorf("rule %d of level %d, and analysisd has rule %d of level %d: %s", got.Rule, got.Level, want.Rule, want.Level, datagram)
		}
		id, isAgent := "000", strings.HasPrefix(datagram, "1:[")
		if isAgent {
			id, _, _ = strings.Cut(strings.TrimPrefix(datagram, "1:["), "]")
		}
		if want.Rule != 0 && want.Agent["id"] != id {
			t.Errorf("analysisd has it as agent %v's: %s", want.Agent, datagram)
		}
	}
}

// Whatever level Pulse gives a loss or an absence by its evidence, its rule has that level.
func TestTheRulesHaveTheLevelsOfPulse(t *testing.T) {
	rules := parseRules(t, Format(DefaultFirstID))
	for _, reason := range append(lossReasons, event.AgentShutdown) {
		for _, host := range hosts {
			for missed := range 10 {
				for step := range 5 {
					for _, closed := range []bool{false, true} {
						kind := wazuhevent.AgentLost
						if step > 0 {
							kind = wazuhevent.AgentAway
						} else if reason == event.AgentShutdown {
							continue // it is no event before it lasts
						}
						level := alertlevel.OfStatusChange(alertlevel.Change{Reason: reason, Missed: missed, Closed: closed, Host: host, Step: step})
						c := event.StatusChange{AgentID: "001", AgentName: "web-01", Reason: reason, MissedKeepAlives: missed, AlertLevel: level}
						c.Host = host
						if r := rules.findRule(t, wazuhevent.FormatStatusChange(kind, "node01", c)); r == nil || r.Level != level {
							t.Errorf("%s, host %s, %d missed, step %d: %+v, want level %d", reason, host, missed, step, r, level)
						}
					}
				}
			}
		}
	}
}
