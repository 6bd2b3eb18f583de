package roster

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
)

// What is read as a state of an agent can be written and read again, and has a
// key of its own.
func FuzzReading(f *testing.F) {
	src := message.Source{Node: "node01", Version: "test", Epoch: 1}
	for _, c := range []event.StatusChange{activeChange("001", 100), lostChange("1000001", 200, 150), {}} {
		m := event.StatusChangeMessage{StatusChange: c, Security: src.Stamp("s", time.Unix(1, 0))}
		text, _ := json.Marshal(m)
		f.Add(text)
		text, _ = json.Marshal(m.AgentState())
		f.Add(text)
	}
	for _, text := range []string{``, `null`, `[]`, `{"agent_id":"*","node":"a"}`, `{"agent_id":"001","node":"a b"}`, `{"agent_id":"001","status":9,"node":"a"}`,
		`{"created":"2026-01-02T03:04:05Z","agent":"001","revision":7}`, `{"agent":">"}`, `{"status_change":{"agent_id":"001.>"},"security":{"node":"a"}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, read := range map[string]func([]byte) (*event.AgentState, error){"message": parseStatusChange, "value": parseAgentState} {
			s, err := read(data)
			if err != nil {
				continue
			}
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			again, err := parseAgentState(text)
			if err != nil || !cmp.Equal(s, again, cmpopts.EquateEmpty()) || !isAgentID(s.AgentID) || s.Supersedes(again) {
				t.Errorf("%s: %s: %+v, %v", name, text, again, err)
			}
		}
		if m, err := parseCheckpoint(data); err == nil && m.Agent != "" && !isAgentID(m.Agent) {
			t.Errorf("mark %+v", m)
		}
	})
}
