package daemon

import (
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// Two of three agents answer their keep-alives, and one hangs.
func TestTheSettingsChooseWhichKeepAlivesHaveMessages(t *testing.T) {
	for _, tt := range []struct {
		setting string
		want    []event.EventType
	}{
		{"all", []event.EventType{event.KeepAliveSent, event.KeepAliveAcknowledged, event.KeepAliveFailed}},
		{"failed", []event.EventType{event.KeepAliveFailed}},
		{"none", nil},
	} {
		t.Run(tt.setting, func(t *testing.T) {
			t.Parallel()
			cfg := testSettings(t)
			cfg.NATS.KeepAliveEvents = tt.setting
			h := startTestNode(t, cfg)
			agents := h.startAgents(keyFile)
			h.waitAllActive("001", "002", "003")
			if err := agents.Fail("002", agentsim.Hang); err != nil {
				t.Fatal(err)
			}
			got, lost := make(map[event.EventType]int), false
			h.nextMessage("loss, or keep-alive that is wanted", func(m receivedMessage) bool {
				if m.Event != nil {
					got[m.Event.EventType]++
				}
				lost = lost || m.Change != nil && m.Change.AgentID == "002" && m.Change.CurrentStatus == event.Disconnected
				return lost && !slices.ContainsFunc(tt.want, func(kind event.EventType) bool { return got[kind] == 0 })
			})
			for _, kind := range tt.want {
				delete(got, kind)
			}
			if len(got) > 0 {
				t.Errorf("messages that were not wanted: %v", got)
			}
		})
	}
}
