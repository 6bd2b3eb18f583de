package event

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The design's two examples, with the fields that security carries besides.
const (
	keepAliveJSON = `{"event":{"agent_id":"001","agent_name":"web-server-01","ip_address":"192.168.1.100","timestamp":1716897300,` +
		`"event_type":"keepalive_sent","manager_node":"wazuh-manager-01","interval":60},` +
		`"security":{"source":"wazuh-manager","version":"4.7.0","sequence":1,"node":"wazuh-manager-01","epoch":3,` +
		`"issued_at":1716897300250,"subject":"wazuh.xdr.manager.keepalive.001"}}`
	statusChangeJSON = `{"status_change":{"agent_id":"001","agent_name":"web-server-01","previous_status":0,"current_status":1,` +
		`"ip_address":"192.168.1.100","timestamp":1716897360,"reason":"keepalive_timeout","missed_keepalives":3,"alert_level":8},` +
		`"security":{"source":"wazuh-manager","version":"4.7.0","sequence":2,"node":"wazuh-manager-01","epoch":3,` +
		`"issued_at":1716897360000,"subject":"wazuh.xdr.agent.001.status_change"}}`
)

func TestMessagesReadAsTheContractHasThem(t *testing.T) {
	security := Security{Source: Origin, Version: "4.7.0", Sequence: 1, Node: "wazuh-manager-01", Epoch: 3}
	p := Prefix(DefaultPrefix)
	keepAlive := KeepAliveMessage{
		Event: KeepAlive{AgentID: "001", AgentName: "web-server-01", IPAddress: "192.168.1.100", Timestamp: 1716897300,
			EventType: KeepAliveSent, ManagerNode: "wazuh-manager-01", Interval: 60},
		Security: security,
	}
	keepAlive.Security.IssuedAt, keepAlive.Security.Subject = 1716897300250, p.KeepAlive("001")
	change := StatusChangeMessage{
		StatusChange: StatusChange{AgentID: "001", AgentName: "web-server-01", PreviousStatus: Active, CurrentStatus: Disconnected,
			IPAddress: "192.168.1.100", Timestamp: 1716897360, Reason: KeepAliveTimeout, MissedKeepAlives: 3, AlertLevel: 8},
		Security: security,
	}
	change.Security.Sequence, change.Security.IssuedAt, change.Security.Subject = 2, 1716897360000, p.StatusChange("001")
	for _, tt := range []struct {
		message any
		want    string
	}{{keepAlive, keepAliveJSON}, {change, statusChangeJSON}} {
		got, err := json.Marshal(tt.message)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, string(got)); diff != "" {
			t.Errorf("JSON differs (- want, + got):\n%s", diff)
		}
	}
	if id := change.Security.ID(); id != "wazuh-manager-01-3-2" {
		t.Errorf("message id %q", id)
	}
}

func TestSubjectsThatWouldNotWorkAreRefused(t *testing.T) {
	for _, p := range []Prefix{"wazuh.xdr", "a", "a.b.c", "wazuh-xdr_1"} {
		if err := p.Valid(); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []Prefix{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "$SYS", "a\tb", "a\x7f"} {
		if p.Valid() == nil {
			t.Errorf("prefix %q is accepted", p)
		}
	}
	if err := ValidNode("node01"); err != nil {
		t.Error(err)
	}
	for _, n := range []string{"", "a.b", "a b", "*", "a>"} {
		if ValidNode(n) == nil {
			t.Errorf("node %q is accepted", n)
		}
	}
}
