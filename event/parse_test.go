package event

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryKindOfMessageIsParsedAsItWasWritten(t *testing.T) {
	rtt, missed := 1.25, 2
	security := Security{Source: Origin, Version: "1.0.0", Sequence: 7, Node: "node01", Epoch: 3, IssuedAt: 1716897300250, Subject: "p.s"}
	for _, want := range []Message{
		&KeepAliveMessage{Event: KeepAlive{AgentID: "001", EventType: KeepAliveAcknowledged, RTT: &rtt, Missed: &missed}, Security: security},
		&StatusChangeMessage{StatusChange: StatusChange{AgentID: "001", CurrentStatus: Disconnected, Reason: ConnectionLost, LastSeen: 5}, Security: security},
		&ManagerStatusMessage{ManagerStatus: ManagerStatus{State: NodeRunning, Link: LinkState{Kind: LinkAttach}, NATS: NATSState{State: NATSConnected},
			Audit: &AuditState{State: AuditFailing}, Conditions: []string{"dead_letters"}}, Security: security},
		&FleetOutageMessage{Outage: &FleetOutage{AgentsLost: 5, Networks: []Network{{Network: "10.0.0.0/24", Agents: 5}}}, Security: security},
		&FleetOutageMessage{Recovered: &FleetOutage{AgentsBack: 5, Networks: []Network{}}, Security: security},
		&AgentFlappingMessage{Flapping: AgentFlapping{AgentID: "001", Window: 600}, Security: security},
		&NodeConditionMessage{Condition: NodeCondition{Code: "dead_letters", State: ConditionBegan}, Security: security},
		&NodeLostMessage{Lost: &NodeLoss{Node: "node02", Agents: 5, Manager: ManagerUnknown, Beat: 7}, Security: security},
		&NodeLostMessage{Back: &NodeLoss{Node: "node02", Agents: 5}, Security: security},
		&AgentDuplicatedMessage{Duplicated: AgentDuplicated{AgentID: "001", Machines: []Machine{{"node01", "10.0.0.1"}, {"node02", "any"}}}, Security: security},
		&UnknownMessage{Security: security},
	} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", data, diff)
		}
		if got.Identity().ID() != "node01-3-7" {
			t.Errorf("%s: ID %s", data, got.Identity().ID())
		}
	}
}

func TestMembersOfLaterVersionsAreIgnored(t *testing.T) {
	for _, data := range []string{
		`{"status_change":{"agent_id":"001","colour":"red"},"security":{"epoch":1,"more":[1]},"extra":{"x":1}}`,
		`{"fleet":{"x":1},"security":{}}`,
		`{"Status_Change":{"agent_id":"001"},"security":{}}`, // another name than status_change
	} {
		if _, err := Parse([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{``, "unexpected end"}, {`hello`, "invalid character"}, {`[]`, "cannot unmarshal array"}, {`null`, "security is no object"},
		{`{}`, "security is no object"}, {`{"status_change":{}}`, "security is no object"}, {`{"status_change":{},"security":null}`, "security is no object"},
		{`{"status_change":null,"security":{}}`, "status_change is no object"}, {`{"fleet_outage":[],"security":{}}`, "fleet_outage is no object"},
		{`{"event":{},"status_change":{},"security":{}}`, "two messages in one"},
		{`{"fleet_outage":{},"fleet_recovered":{},"security":{}}`, "two messages in one"},
		{`{"status_change":{"current_status":"gone"},"security":{}}`, "status_change: json"}, {`{"security":{"epoch":-1}}`, "security: json"},
	} {
		m, err := Parse([]byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) || m != nil {
			t.Errorf("%s: %v, %v; want %q", c.data, m, err, c.want)
		}
	}
}

func TestAStatusIsWrittenByWazuhsName(t *testing.T) {
	for status, want := range map[Status]string{Active: "active", Disconnected: "disconnected", Pending: "pending", NeverConnected: "never_connected",
		7: "status 7", -1: "status -1"} {
		if got := status.String(); got != want {
			t.Errorf("%d: %q, want %q", int(status), got, want)
		}
	}
	if text, err := json.Marshal(NeverConnected); err != nil || string(text) != "3" { // the contract: a number
		t.Errorf("%s, %v", text, err)
	}
}

func TestTimesAreThoseOfTheFields(t *testing.T) {
	c := StatusChange{Timestamp: 1716897360, LastSeen: 1716897300}
	if !c.Time().Equal(time.Unix(1716897360, 0)) || !c.LastSeenTime().Equal(time.Unix(1716897300, 0)) {
		t.Errorf("%v, %v", c.Time(), c.LastSeenTime())
	}
	if none := (&StatusChange{}).LastSeenTime(); !none.IsZero() {
		t.Errorf("an agent that was never seen: %v", none)
	}
	if s := (Security{IssuedAt: 1716897300250}); !s.IssuedTime().Equal(time.UnixMilli(1716897300250)) {
		t.Errorf("%v", s.IssuedTime())
	}
}

// What is parsed is of a known kind, and is the same when it is written and parsed again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{keepAliveJSON, statusChangeJSON, `{"fleet_recovered":{"networks":[]},"security":{}}`, `{"manager_status":{},"security":{}}`,
		`{"node_condition":{},"security":{}}`, `{"node_lost":{},"security":{}}`, `{"agent_duplicated":{"machines":[]},"security":{}}`, `{"agent_flapping":{},"security":{"epoch":1}}`, `{"security":{}}`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			if m != nil {
				t.Fatalf("%v beside %v", m, err)
			}
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(text) || reflect.TypeOf(again) != reflect.TypeOf(m) {
			t.Fatalf("%s\n%s", text, twice)
		}
	})
}
