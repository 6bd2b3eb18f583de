package remoted

import (
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// recordedAgentStats is what a remoted of Wazuh 4.14 answered for the agents 1, 2 and 9, the
// last of which had not been connected.
const recordedAgentStats = `{"error":0,"message":"ok","data":{"timestamp":1795407999,"name":"wazuh-remoted","agents":[{"uptime":1795407667,"id":1,"metrics":{"messages":` +
	`{"received_breakdown":{"control":36,"control_breakdown":{"keepalive":17,"request":19,"shutdown":0,"startup":0},"event":0},"sent_breakdown":{"ack":17,"ar":0,"discarded":0,"request":19,"sca":0,"shared":3}}}},` +
	`{"uptime":1795407695,"id":2,"metrics":{"messages":{"received_breakdown":{"control":3,"control_breakdown":{"keepalive":3,"request":0,"shutdown":0,"startup":0},"event":0},` +
	`"sent_breakdown":{"ack":3,"ar":0,"discarded":0,"request":0,"sca":0,"shared":3}}}}]}}`

func TestRemotedHasCountsOfTheAgentsThatWereConnected(t *testing.T) {
	got, err := serveAnswer(t, recordedAgentStats).ReadPresent(t.Context(), []detector.AgentID{1, 2, 9}, 5*time.Second)
	if err != nil || !slices.Equal(got, []detector.AgentID{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := serveAnswer(t, `{"error":4,"message":"Unrecognized command","data":{}}`).ReadPresent(t.Context(), []detector.AgentID{1}, 5*time.Second); err == nil {
		t.Errorf("of a version that has no counts: %v", got)
	}
	if _, err := new(Client).ReadPresent(t.Context(), nil, 0); err == nil {
		t.Error("nobody is asked for")
	}
}
