package roster

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// A message that is still in memory is neither decrypted nor parsed, and leaves the same state.
func TestAStateIsTheSameFromMemoryAsFromTheDisk(t *testing.T) {
	moved := activeChange("003", 100)
	moved.FromNode, moved.ToNode, moved.ClusterOrder = "node02", "node03", 7
	lost := lostChange("002", 200, 150)
	lost.Evidence = event.Evidence{Host: "silent", Technique: "T1562.001", Confidence: []string{"connection_closed", "silence:40"}, HostProbe: "icmp", HostProbedAt: 199}
	lost.AgentInfo = event.AgentInfo{WazuhGroups: []string{"default", "web"}, OSName: "Debian \x00\xff", OSVersion: "12", AgentVersion: "v4.14.7"}
	src := message.Source{Node: "node01", Version: "test", Epoch: 3}
	for _, c := range []event.StatusChange{activeChange("001", 100), lost, moved, {AgentID: "*"}} {
		m := &event.StatusChangeMessage{StatusChange: c, Security: src.Stamp(prefix.StatusChange(c.AgentID), time.Now())}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		onDisk := Roster{cfg: Config{Open: func(data []byte) ([]byte, error) { return data, nil }}}
		want, wantErr := onDisk.openStatusMessage(&outbox.Stored{Data: data})
		inMemory := Roster{cfg: Config{Open: func([]byte) ([]byte, error) { return nil, errors.New("it was decrypted") }}}
		got, err := inMemory.openStatusMessage(&outbox.Stored{Data: data, Body: m})
		if (err == nil) != (wantErr == nil) {
			t.Errorf("agent %q: %v, from the disk %v", c.AgentID, err, wantErr)
		}
		if diff := cmp.Diff(readState(t, want), readState(t, got)); diff != "" {
			t.Errorf("agent %q: %s", c.AgentID, diff)
		}
	}
}

// readState returns a state as it is read from its value in the bucket.
func readState(t *testing.T, s *event.AgentState) (read event.AgentState) {
	text, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}
