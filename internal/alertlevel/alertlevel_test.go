package alertlevel

import (
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

func TestAlertLevels(t *testing.T) {
	for _, tt := range []struct {
		reason event.Reason
		missed int
		want   int
	}{
		{event.KeepAliveTimeout, 3, 8}, {event.KeepAliveTimeout, 0, 6}, {event.MissedKeepAlives, 1, 6}, {event.MissedKeepAlives, 2, 7},
		{event.MissedKeepAlives, 7, 12}, {event.MissedKeepAlives, 100, 12}, {event.ConnectionLost, 0, 6},
		{event.AgentShutdown, 2, 3}, {event.Reconnected, 0, 3}, {event.Connected, 0, 3}, {event.Startup, 0, 3}, {event.AgentRemoved, 3, 5},
	} {
		if got := OfStatusChange(tt.reason, tt.missed); got != tt.want {
			t.Errorf("OfStatusChange(%s, %d) = %d, want %d", tt.reason, tt.missed, got, tt.want)
		}
	}
}
