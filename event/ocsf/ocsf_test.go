package ocsf

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wazuh-pulse/pulse/event"
)

const prefix = event.Prefix(event.DefaultPrefix)

func security(subject string) event.Security {
	return event.Security{Source: event.Origin, Version: "0.9.0", Sequence: 7, Node: "node01", Epoch: 3, IssuedAt: 1716897360120, Subject: subject}
}

func change(from, to event.Status, reason event.Reason, level int) *event.StatusChangeMessage {
	return &event.StatusChangeMessage{Security: security(prefix.StatusChange("001")), StatusChange: event.StatusChange{
		AgentID: "001", AgentName: "web-server-01", IPAddress: "192.168.1.100", PreviousStatus: from, CurrentStatus: to,
		Timestamp: 1716897360, Reason: reason, AlertLevel: level, LastSeen: 1716897331,
		AgentInfo: event.AgentInfo{WazuhGroups: []string{"default", "web"}, OSName: "Ubuntu", OSVersion: "22.04", AgentVersion: "v4.9.2"}}}
}

// alert returns the alert of a killed agent whose host lives.
func alert(awayFor int64) *event.StatusChangeMessage {
	m := change(event.Active, event.Disconnected, event.ConnectionLost, 10)
	m.Security.Subject = prefix.AgentDisconnected()
	m.StatusChange.AwayFor = awayFor
	m.StatusChange.Evidence = event.Evidence{Host: event.HostAnswers, HostProbe: "icmp", HostProbedAt: 1716897361,
		Confidence: []string{event.SawConnectionClosed, event.SawHostAnswer}, Technique: event.ImpairDefenses}
	return m
}

func outage(ended bool) *event.FleetOutageMessage {
	o := &event.FleetOutage{ManagerNode: "node01", Timestamp: 1716897400, Since: 1716897360, AgentsWatched: 100, AgentsLost: 40,
		ConnectionsClosed: 40, Networks: []event.Network{{Network: "10.0.0.0/24", Agents: 40}}, AlertLevel: 13}
	m := &event.FleetOutageMessage{Outage: o, Security: security(prefix.FleetOutage())}
	if ended {
		m.Outage, m.Recovered = nil, o
		o.AgentsBack, o.AlertLevel = 40, 3
	}
	return m
}

func condition(state event.State, level int) *event.NodeConditionMessage {
	return &event.NodeConditionMessage{Security: security(prefix.NodeCondition()), Condition: event.NodeCondition{ManagerNode: "node01",
		Code: "disk_full", State: state, Problem: "no space left", Since: 1716897300, Timestamp: 1716897390, AlertLevel: level}}
}

func flapping() *event.AgentFlappingMessage {
	return &event.AgentFlappingMessage{Security: security(prefix.AgentFlapping()), Flapping: event.AgentFlapping{AgentID: "001",
		AgentName: "web-server-01", IPAddress: "192.168.1.100", Timestamp: 1716897360, StatusChanges: 6, Window: 600, AlertLevel: 9}}
}

func nodeLoss(back bool) *event.NodeLostMessage {
	l := &event.NodeLoss{Node: "worker1", AnnouncedBy: "master", Timestamp: 1716897390, Since: 1716897360, Agents: 250,
		Manager: event.ManagerUnknown, Beat: 77, AlertLevel: 13}
	if back {
		return &event.NodeLostMessage{Back: &event.NodeLoss{Node: "worker1", AnnouncedBy: "worker1", Timestamp: 1716897490, Agents: 249, AlertLevel: 3},
			Security: security(prefix.NodeLost())}
	}
	return &event.NodeLostMessage{Lost: l, Security: security(prefix.NodeLost())}
}

func duplicated() *event.AgentDuplicatedMessage {
	return &event.AgentDuplicatedMessage{Security: security(prefix.AgentDuplicated()), Duplicated: event.AgentDuplicated{AgentID: "001",
		AgentName: "web-server-01", Timestamp: 1716897390, AlertLevel: 10,
		Machines: []event.Machine{{Node: "worker1", IPAddress: "10.0.0.1"}, {Node: "worker2", IPAddress: "any"}}}}
}

// everyMessage returns a message of every kind and turn.
func everyMessage() map[string]event.Message {
	messages := map[string]event.Message{
		"alert": alert(0), "escalation": alert(3600), "outage": outage(false), "outage ended": outage(true), "flapping": flapping(),
		"node lost": nodeLoss(false), "node back": nodeLoss(true), "duplicated": duplicated(),
		"condition": condition(event.ConditionBegan, 12), "condition ended": condition(event.ConditionEnded, 3),
	}
	for _, reason := range []event.Reason{event.Startup, event.Connected, event.Reconnected, event.KeepAliveTimeout, event.MissedKeepAlives,
		event.ConnectionLost, event.AgentShutdown, event.AgentRemoved, event.AgentMoved} {
		for from := event.Active; from.Valid(); from++ {
			for to := event.Active; to.Valid(); to++ {
				messages["change "+from.String()+" "+to.String()+" "+string(reason)] = change(from, to, reason, 3)
			}
		}
	}
	unknown := change(event.NeverConnected, event.Pending, event.Startup, 3)
	unknown.StatusChange.IPAddress, unknown.StatusChange.AgentInfo = "any", event.AgentInfo{}
	messages["registered under any address"] = unknown
	v6 := change(event.Active, event.Disconnected, event.KeepAliveTimeout, 15)
	v6.StatusChange.IPAddress, v6.StatusChange.OSName, v6.StatusChange.AgentName = "fe80::1%eth0", "Microsoft Windows Server 2022", ""
	messages["IPv6"] = v6
	return messages
}

func TestEveryEventIsValidByThePublishedSchema(t *testing.T) {
	s := openSchema(t)
	for name, m := range everyMessage() {
		events := Events(m)
		if len(events) == 0 {
			t.Errorf("%s: no event", name)
		}
		for _, e := range events {
			data, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range s.validateEvent(data) {
				t.Errorf("%s: %s\n%s", name, wrong, data)
			}
		}
	}
}

// A validator that finds nothing proves nothing.
func TestTheValidatorFindsFaults(t *testing.T) {
	s := openSchema(t)
	data, _ := json.Marshal(Events(alert(0))[0])
	for fault, wanted := range map[[2]string]string{
		{`"activity_id":1`, `"activity_id":7`}:                                                "type_uid",
		{`"severity_id":4`, `"severity_id":42`}:                                               "enumeration",
		{`"ip":"192.168.1.100"`, `"ip":"any"`}:                                                "ip_t",
		{`"time":1716897360000`, `"time":"now"`}:                                              "timestamp_t",
		{`"uid":"pulse:agent:001:away",`, ``}:                                                 "uid is missing",
		{`"agent_list":[{"uid":"001","name":"web-server-01",`, `"agent_list":[{`}:             "none of",
		{`"is_alert":true`, `"alerting":true`}:                                                "no attribute",
		{`"version":"1.8.0",`, ``}:                                                            "version is missing",
		{`"groups":[{"name":"default"},{"name":"web"}]`, `"groups":{"name":"default"}`}:       "array",
		{`"os":{"name":"Ubuntu","type_id":200,"version":"22.04"}`, `"os":{"name":"Ubuntu"}`}:  "os.type_id is missing",
		{`"tactic":{"uid":"TA0005","name":"Defense Evasion"}`, `"tactic":{"code":"TA0005"}`}:  "tactic.code is no attribute",
		{`"class_name":"Detection Finding"`, `"class_name":"Detection"`}:                      "names",
		{`"activity_name":"Create"`, `"activity_name":"Made"`}:                                "activity_name",
		{`"class_uid":2004`, `"class_uid":2099`}:                                              "not known",
		{`"type_id":1,"type":"Endpoint Detection and Response"`, `"type_id":77,"type":"EDR"`}: "enumeration",
	} {
		broken := strings.Replace(string(data), fault[0], fault[1], 1)
		if wanted != "" && broken == string(data) {
			t.Errorf("%s is not in the event: %s", fault[0], data)
		}
		if wrong := strings.Join(s.validateEvent([]byte(broken)), "; "); !strings.Contains(wrong, wanted) {
			t.Errorf("%s instead of %s: found %q, want %q", fault[1], fault[0], wrong, wanted)
		}
	}
}

func TestWhatEachMessageBecomes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message event.Message
		types   []int
		uid     string
	}{
		{"an agent starts", change(event.NeverConnected, event.Pending, event.Startup, 3), []int{600203}, ""},
		{"an agent stops", change(event.Active, event.Disconnected, event.AgentShutdown, 3), []int{600204}, ""},
		{"an agent is lost", change(event.Active, event.Disconnected, event.ConnectionLost, 10), []int{600299}, ""},
		{"an agent is back", change(event.Disconnected, event.Active, event.Reconnected, 3), []int{600299, 200403}, "pulse:agent:001:away"},
		{"an agent is back and starts", change(event.Disconnected, event.Pending, event.Startup, 3), []int{600203, 200403}, "pulse:agent:001:away"},
		{"an alert", alert(0), []int{200401}, "pulse:agent:001:away"},
		{"an escalation", alert(60), []int{200402}, "pulse:agent:001:away"},
		{"an outage", outage(false), []int{200501}, ""},
		{"the end of an outage", outage(true), []int{200503}, ""},
		{"flapping", flapping(), []int{200401}, "pulse:agent:001:flapping"},
		{"a condition", condition(event.ConditionBegan, 12), []int{200401}, "pulse:node:node01:disk_full:1716897300"},
		{"the end of a condition", condition(event.ConditionEnded, 3), []int{200403}, "pulse:node:node01:disk_full:1716897300"},
		{"a lost node", nodeLoss(false), []int{200501}, ""},
		{"the return of a node", nodeLoss(true), []int{200503}, ""},
		{"a duplicated agent", duplicated(), []int{200401}, "pulse:agent:001:duplicated"},
		{"a keep-alive", new(event.KeepAliveMessage), nil, ""},
		{"a heartbeat", new(event.ManagerStatusMessage), nil, ""},
		{"an unknown message", new(event.UnknownMessage), nil, ""},
	} {
		var types []int
		for _, e := range Events(tt.message) {
			types = append(types, e.TypeUID)
			if e.FindingInfo != nil && e.FindingInfo.UID != tt.uid {
				t.Errorf("%s: finding %q, want %q", tt.name, e.FindingInfo.UID, tt.uid)
			}
		}
		if diff := cmp.Diff(tt.types, types); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", tt.name, diff)
		}
	}
}

func TestAnIncidentAndItsEndAreOne(t *testing.T) {
	for _, pair := range [][2]event.Message{{outage(false), outage(true)}, {nodeLoss(false), nodeLoss(true)}} {
		began, ended := Events(pair[0])[0], Events(pair[1])[0]
		if began.FindingInfoList[0].UID != ended.FindingInfoList[0].UID || began.StatusID != 1 || ended.StatusID != 4 {
			t.Errorf("%+v, %+v", began, ended)
		}
	}
}
