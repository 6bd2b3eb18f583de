package schema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/schema"
)

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	f, err := schema.Files.Open(name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("mem:///"+name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("mem:///" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func samples() map[string]any {
	src := message.Source{Node: "node01", Version: "0.1.0", Epoch: 1}
	p, now := event.Prefix(event.DefaultPrefix), time.UnixMilli(1716897300250)
	rtt, missed := 1.25, 2
	keepAlive := event.KeepAlive{AgentID: "001", AgentName: "web", IPAddress: "any", Timestamp: now.Unix(),
		EventType: event.KeepAliveAcknowledged, ManagerNode: "node01", Interval: 60, RTT: &rtt, Missed: &missed}
	change := event.StatusChange{AgentID: "001", AgentName: "web", CurrentStatus: event.Disconnected, IPAddress: "any",
		Timestamp: now.Unix(), Reason: event.MissedKeepAlives, MissedKeepAlives: 3, AlertLevel: 8, LastSeen: now.Unix(), Outage: true,
		AwayFor: 60, Silenced: true, AgentInfo: event.AgentInfo{WazuhGroups: []string{"default", "web"}, OSName: "Ubuntu", OSVersion: "22.04", AgentVersion: "v4.9.2"},
		Evidence: event.Evidence{Host: event.HostAnswers, HostProbe: "icmp", HostProbedAt: now.Unix(), Technique: event.ImpairDefenses,
			Confidence: []string{event.SawConnectionClosed, event.SawHostAnswer}}}
	outage := &event.FleetOutage{ManagerNode: "node01", Timestamp: now.Unix(), Since: now.Unix(), AgentsWatched: 100, AgentsLost: 50,
		FellSilent: 50, Networks: []event.Network{{Network: "10.0.0.0/24", Agents: 50}}, AlertLevel: alertlevel.Outage,
		HostsProbed: 10, HostsAnswered: 9}
	flapping := event.AgentFlapping{AgentID: "001", AgentName: "web", IPAddress: "any", Timestamp: now.Unix(), StatusChanges: 7,
		Window: 600, AlertLevel: alertlevel.Flapping}
	condition := event.NodeCondition{ManagerNode: "node01", Code: "dead_letters", State: event.ConditionBegan, Problem: "3 messages are set aside",
		Since: now.Unix(), Timestamp: now.Unix(), AlertLevel: alertlevel.Warning}
	status := event.ManagerStatus{Conditions: []string{"dead_letters"}, ManagerNode: "node01", Timestamp: now.Unix(), StartedAt: now.Unix(), Interval: 10,
		State: event.NodeRunning, Link: event.LinkState{Kind: event.LinkListen}, NATS: event.NATSState{State: event.NATSEmbedded}}
	lost := &event.NodeLoss{Node: "node02", AnnouncedBy: "node01", Timestamp: now.Unix(), Since: now.Unix(), Agents: 250, Manager: event.ManagerUnknown, Beat: 8812, AlertLevel: alertlevel.NodeLost}
	duplicated := event.AgentDuplicated{AgentID: "001", AgentName: "web", Timestamp: now.Unix(), Machines: []event.Machine{{Node: "node01", IPAddress: "10.0.0.1"}, {Node: "node02", IPAddress: "any"}},
		AlertLevel: alertlevel.Duplicated}
	return map[string]any{
		"node_lost":        event.NodeLostMessage{Lost: lost, Security: src.Stamp(p.NodeLost(), now)},
		"agent_duplicated": event.AgentDuplicatedMessage{Duplicated: duplicated, Security: src.Stamp(p.AgentDuplicated(), now)},
		"keepalive":        event.KeepAliveMessage{Event: keepAlive, Security: src.Stamp(p.KeepAlive("001"), now)},
		"status_change":    event.StatusChangeMessage{StatusChange: change, Security: src.Stamp(p.StatusChange("001"), now)},
		"fleet_outage":     event.FleetOutageMessage{Outage: outage, Security: src.Stamp(p.FleetOutage(), now)},
		"node_condition":   event.NodeConditionMessage{Condition: condition, Security: src.Stamp(p.NodeCondition(), now)},
		"agent_flapping":   event.AgentFlappingMessage{Flapping: flapping, Security: src.Stamp(p.AgentFlapping(), now)},
		"manager_status":   event.ManagerStatusMessage{ManagerStatus: status, Security: src.Stamp(p.ManagerStatus("node01"), now)},
	}
}

func TestMessagesFitTheirSchema(t *testing.T) {
	for name, message := range samples() {
		text, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, compile(t, name), string(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Every field is in the schema, and a message that loses or retypes a required
// one does not fit any more.
func TestSchemasKnowEveryField(t *testing.T) {
	for name, message := range samples() {
		text, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		s := compile(t, name)
		for part, fields := range parts(t, text) {
			for field := range fields {
				if s.Properties[part].Properties[field] == nil {
					t.Errorf("%s: field %s.%s is not in the schema", name, part, field)
				}
			}
			for _, field := range s.Properties[part].Required {
				broken := parts(t, text)
				broken[part][field] = true
				retyped, _ := json.Marshal(broken)
				delete(broken[part], field)
				missing, _ := json.Marshal(broken)
				if validate(t, s, string(retyped)) == nil || validate(t, s, string(missing)) == nil {
					t.Errorf("%s: %s.%s may be retyped or left out", name, part, field)
				}
			}
		}
	}
}

func parts(t *testing.T, text []byte) (doc map[string]map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The value of an agent's key in the bucket is no message: its fields are at the top.
func TestAnAgentsStateFitsItsSchema(t *testing.T) {
	s := compile(t, "agent_state")
	m := samples()["status_change"].(event.StatusChangeMessage)
	text, err := json.Marshal(m.AgentState())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, s, string(text)); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for field := range fields {
		if s.Properties[field] == nil {
			t.Errorf("field %s is not in the schema", field)
		}
	}
	for _, field := range s.Required {
		was := fields[field]
		fields[field] = []int{1}
		retyped, _ := json.Marshal(fields)
		delete(fields, field)
		missing, _ := json.Marshal(fields)
		if fields[field] = was; validate(t, s, string(retyped)) == nil || validate(t, s, string(missing)) == nil {
			t.Errorf("%s may be retyped or left out", field)
		}
	}
}
