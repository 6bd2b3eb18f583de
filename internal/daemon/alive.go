package daemon

import (
	"context"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

// Alive returns when the node has shown that it still watches: its detector has
// come round. One whose publishing has been stuck for so long that the detector
// waits for it does not.
func (n *Node) Alive(ctx context.Context) error { return n.detector.CheckAlive(ctx) }

// Summary is how the node is, in one line for people.
func (n *Node) Summary() string {
	s := n.out.status()
	a := agentCounts(n.detector.Counts())
	line := fmt.Sprintf("%d active, %d pending, %d disconnected, %d never connected", a.Active, a.Pending, a.Disconnected, a.NeverConnected)
	if s.NATS.State == event.NATSConnecting || s.NATS.State == event.NATSUnavailable {
		line += "; NATS " + string(s.NATS.State)
	}
	if s.Outbox != nil && s.Outbox.Connected {
		line += fmt.Sprintf("; %d messages wait", s.Outbox.Status.Backlog+s.Outbox.Telemetry.Backlog)
	}
	return line
}
