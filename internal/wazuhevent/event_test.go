package wazuhevent

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// splitEvent returns an event's location and members, and fails the test if it is not
// one line that analysisd takes.
func splitEvent(t *testing.T, line string) (location string, members map[string]any) {
	t.Helper()
	at := strings.Index(line, `:{"pulse":{"event":`)
	if at < 0 || !strings.HasPrefix(line, "1:") {
		t.Fatalf("no event: %.200q", line)
	}
	location = line[2:at]
	if unescaped := strings.NewReplacer("||", "", "|:", "").Replace(location); strings.ContainsAny(unescaped, "|:") || len(line) > MaxSize || !printable.Is(line) {
		t.Fatalf("%d bytes: %.300q", len(line), line)
	}
	var parts map[string]map[string]any
	if err := json.Unmarshal([]byte(line[at+1:]), &parts); err != nil || len(parts) != 1 {
		t.Fatalf("%v: %.300q", err, line)
	}
	return location, parts["pulse"]
}

func TestAnEventHasTheBodyOfTheMessage(t *testing.T) {
	loss := event.StatusChange{AgentID: "001", AgentName: "web-01", PreviousStatus: event.Active, CurrentStatus: event.Disconnected, IPAddress: "2001:db8::1",
		Timestamp: 1716897360, Reason: event.ConnectionLost, AlertLevel: 10, LastSeen: 1716897350}
	loss.Host, loss.Technique, loss.WazuhGroups = event.HostAnswers, event.ImpairDefenses, []string{"default", "web"}
	location, got := splitEvent(t, FormatStatusChange(AgentLost, "node01", loss))
	if location != "[001] (web-01) 2001|:db8|:|:1-pulse->pulse" {
		t.Errorf("location %s", location)
	}
	text, err := json.Marshal(loss)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	want["event"], want["manager_node"] = "agent_lost", "node01"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	outage := event.FleetOutage{ManagerNode: "node01", AgentsLost: 7, Networks: []event.Network{{Network: "10.0.0.0/24", Agents: 7}}}
	if location, got := splitEvent(t, FormatOutage(FleetOutage, outage)); location != "pulse" || got["event"] != "fleet_outage" || got["agents_lost"] != 7.0 || got["manager_node"] != "node01" {
		t.Errorf("%s: %v", location, got)
	}
	if location, got := splitEvent(t, FormatFlapping("node01", event.AgentFlapping{AgentID: "001", AgentName: "a", Window: 600})); location != "[001] (a) any-pulse->pulse" ||
		got["event"] != "agent_flapping" || got["window"] != 600.0 {
		t.Errorf("%s: %v", location, got)
	}
	if location, got := splitEvent(t, FormatCondition(event.NodeCondition{Code: "dead_letters", State: event.ConditionBegan})); location != "pulse" || got["code"] != "dead_letters" {
		t.Errorf("%s: %v", location, got)
	}
}

// A rule cannot match what is absent.
func TestALossAlwaysHasAHost(t *testing.T) {
	for kind, want := range map[Kind]any{AgentLost: "unknown", AgentAway: "unknown", AgentBack: nil} {
		if _, got := splitEvent(t, FormatStatusChange(kind, "n", event.StatusChange{AgentID: "001", Reason: event.ConnectionLost})); got["host"] != want {
			t.Errorf("%s: host %v, want %v", kind, got["host"], want)
		}
	}
}

// Whatever there is to fill with foreign text, now or in a later version, is filled.
func TestNoTextMakesAnEventLongOrAnotherOne(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 1<<16), strings.Repeat("\x00\n\x1b[", 1<<14), strings.Repeat(`"}},{"`, 1<<12), strings.Repeat("<\u2028\u202e", 1<<14),
		strings.Repeat("\xff", 1<<16), strings.Repeat("|:", 1<<15), strings.Repeat("🦫", 1<<14), "ossec: Agent started: 'x'", `"integration":"ms-graph"`, ")any-pulse->pulse:"} {
		var change event.StatusChange
		var flapping event.AgentFlapping
		var outage event.FleetOutage
		var condition event.NodeCondition
		var silence Silence
		var lost event.NodeLoss
		var duplicated event.AgentDuplicated
		for _, body := range []any{&change, &flapping, &outage, &condition, &silence, &lost, &duplicated} {
			fillTexts(reflect.ValueOf(body).Elem(), text)
		}
		change.AgentID, flapping.AgentID, duplicated.AgentID = "001", "001", "001"
		for _, line := range []string{FormatStatusChange(AgentLost, text, change), FormatStatusChange(AgentBack, text, change), FormatFlapping(text, flapping), FormatDuplicated(text, duplicated)} {
			location, got := splitEvent(t, line)
			if !strings.HasPrefix(location, "[001] (") || !strings.HasSuffix(location, ") any-pulse->pulse") || strings.Count(location, ")") != 1 {
				t.Errorf("location %s", location)
			}
			if got["agent_id"] != "001" {
				t.Errorf("%.200s", line)
			}
		}
		for _, line := range []string{FormatOutage(FleetOutage, outage), FormatCondition(condition), FormatSilence(text, silence), FormatNodeLoss(NodeLost, lost)} {
			if location, _ := splitEvent(t, line); location != NodeLocation {
				t.Errorf("location %s", location)
			}
		}
		if len(outage.Networks) != 100 || outage.Networks[0].Network != text {
			t.Error("the lists of the message itself were changed")
		}
	}
}

// fillTexts sets every text in a struct, and makes every list long.
func fillTexts(v reflect.Value, text string) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(text)
		case reflect.Struct:
			fillTexts(f, text)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 100, 100))
			for j := range f.Len() {
				if item := f.Index(j); item.Kind() == reflect.String {
					item.SetString(text)
				} else {
					fillTexts(item, text)
				}
			}
		}
	}
}

func FuzzFormatStatusChange(f *testing.F) {
	f.Add("web-01", "10.0.0.1", "default")
	f.Add("a)b", "::1", "x\ny")
	f.Fuzz(func(t *testing.T, name, addr, group string) {
		c := event.StatusChange{AgentID: "001", AgentName: name, IPAddress: addr, Reason: event.ConnectionLost}
		c.WazuhGroups = []string{group}
		if location, _ := splitEvent(t, FormatStatusChange(AgentLost, "n", c)); !strings.HasSuffix(location, "-pulse->pulse") || strings.Count(location, "(") != 1 {
			t.Errorf("location %s", location)
		}
	})
}

func BenchmarkFormatStatusChange(b *testing.B) {
	c := event.StatusChange{AgentID: "001", AgentName: "web-01", IPAddress: "10.0.0.1", Reason: event.ConnectionLost, AlertLevel: 10}
	c.WazuhGroups = []string{"default", "web"}
	b.ReportAllocs()
	for b.Loop() {
		FormatStatusChange(AgentLost, "node01", c)
	}
}
