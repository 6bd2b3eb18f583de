package main

import (
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

func TestMessagesAreToldInALine(t *testing.T) {
	for _, tt := range []struct{ name, message, want string }{
		{"a keep-alive that went out", `{"event":{"agent_id":"001","agent_name":"web","event_type":"keepalive_sent"}}`,
			"001 keepalive_sent (web)"},
		{"one that was answered", `{"event":{"agent_id":"001","agent_name":"web","event_type":"keepalive_acknowledged","rtt_ms":0.44}}`,
			"001 keepalive_acknowledged (web), 0.4 ms"},
		{"one that was missed", `{"event":{"agent_id":"001","agent_name":"web","event_type":"keepalive_failed","missed_keepalives":2}}`,
			"001 keepalive_failed (web), 2 missed"},
		{"one that did not go out", `{"event":{"agent_id":"001","agent_name":"web","event_type":"keepalive_failed","error":"the agent is not connected"}}`,
			"001 keepalive_failed (web): the agent is not connected"},
		{"a status change", `{"status_change":{"agent_id":"001","agent_name":"web","previous_status":0,"current_status":1,"ip_address":"10.0.0.1",` +
			`"reason":"keepalive_timeout","missed_keepalives":3,"alert_level":8}}`,
			"001 active → disconnected (web, 10.0.0.1): keepalive_timeout, 3 missed, alert level 8"},
		{"a loss that is part of an outage", `{"status_change":{"agent_id":"001","previous_status":0,"current_status":1,"alert_level":8,"outage":true}}`,
			", 0 missed, alert level 8, part of an outage"},
		{"a kill on a live host", `{"status_change":{"agent_id":"001","previous_status":0,"current_status":1,"reason":"connection_lost","alert_level":10,` +
			`"host":"answers","host_probe":"tcp:22 refused","technique":"T1562.001"}}`,
			"connection_lost, 0 missed, alert level 10, its host answers (tcp:22 refused), T1562.001"},
		{"an escalation", `{"status_change":{"agent_id":"001","previous_status":0,"current_status":1,"reason":"connection_lost","alert_level":9,` +
			`"host":"silent","host_probe":"icmp","away_for":3600,"silenced":true}}`,
			", alert level 9, its host is silent (icmp), away for 1h00m, silenced"},
		{"an outage of live hosts", `{"fleet_outage":{"agents_lost":212,"alert_level":13,"hosts_probed":20,"hosts_answered":19}}`,
			"alert level 13, 19 of 20 hosts answer"},
		{"a heartbeat with dormant agents", `{"manager_status":{"manager_node":"node01","agents":{"active":4,"disconnected":3,"dormant":2}}}`,
			"0 never connected, 2 of the disconnected dormant"},
		{"an outage", `{"fleet_outage":{"agents_watched":500,"agents_lost":212,"connections_closed":12,"fell_silent":200,"alert_level":13,` +
			`"networks":[{"network":"10.1.2.0/24","agents":190},{"network":"10.1.3.0/24","agents":22}]}}`,
			": 212 of 500 agents lost, 200 fell silent, 12 closed their connections, alert level 13, 190 in 10.1.2.0/24, 22 in 10.1.3.0/24"},
		{"its end", `{"fleet_recovered":{"agents_lost":212,"agents_back":107,"alert_level":3}}`,
			"fleet recovered: 107 of 212 lost agents are back, outage since "},
		{"an agent that flaps", `{"agent_flapping":{"agent_id":"001","agent_name":"web","ip_address":"10.0.0.1","status_changes":7,"window":600,"alert_level":9}}`,
			"001 flaps (web, 10.0.0.1): 7 status changes within 600 s, alert level 9"},
		{"a condition of a node", `{"node_condition":{"manager_node":"node01","code":"dead_letters","state":"began","problem":"3 messages are set aside","alert_level":7}}`,
			"node01 condition dead_letters began: 3 messages are set aside, alert level 7"},
		{"a lost node", `{"node_lost":{"node":"worker1","announced_by":"master","agents":250,"manager":"silent","alert_level":13}}`,
			"node worker1 is lost, with 250 agents, last seen "},
		{"its end", `{"node_back":{"node":"worker1","announced_by":"worker1","agents":249,"alert_level":3}}`, "node worker1 is back, with 249 agents, alert level 3"},
		{"a duplicated agent", `{"agent_duplicated":{"agent_id":"001","agent_name":"web","machines":[{"node":"worker1","ip_address":"10.0.0.1"},{"node":"worker2","ip_address":"any"}],"alert_level":10}}`,
			"001 is on several machines (web), 10.0.0.1 at node worker1, any at node worker2, alert level 10"},
		{"a status of a later version", `{"status_change":{"agent_id":"001","previous_status":3,"current_status":7}}`,
			"001 never_connected → status 7"},
		{"a heartbeat", `{"manager_status":{"manager_node":"node01","agents":{"active":4,"disconnected":3,"pending":2,"never_connected":1}}}`,
			"node01 watches: 4 active, 3 disconnected, 2 pending, 1 never connected"},
		{"a message of a later version", `{"fleet":{}}`, `"{\"fleet\":{},\"security\":{}}"`},
		{"something else", "hello", `"hello"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := formatMessage([]byte(withSecurity(tt.message))); !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestMessagesDoNotSteerTheTerminal(t *testing.T) {
	line := printable.Only(formatMessage([]byte(`{"event":{"agent_id":"001","agent_name":"\u001b[2J\nweb","event_type":"keepalive_sent"},"security":{}}`)))
	if !strings.HasSuffix(line, "001 keepalive_sent (?[2J?web)") {
		t.Errorf("%q", line)
	}
}

// withSecurity adds the part that every message has.
func withSecurity(body string) string {
	if open, ok := strings.CutSuffix(body, "}}"); ok {
		return open + `},"security":{}}`
	}
	return body
}
