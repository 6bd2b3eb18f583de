package daemon

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/console"
)

// losses are what is being lost now, or was a moment ago.
type losses struct{ telemetry, audit bool }

// health judges: a failure is what keeps messages from the XDR platform, or
// loses them, now; a warning is what somebody should look at.
func health(s *Status, losing losses, storing error) console.Health {
	var h console.Health
	if storing != nil {
		h.Failures = append(h.Failures, "outbox: "+storing.Error())
	}
	if s.NATS.State == event.NATSUnavailable {
		why := ""
		if s.NATS.Problem != "" {
			why = " (" + s.NATS.Problem + ")"
		}
		h.Failures = append(h.Failures, "the NATS server is unavailable since "+s.NATS.Since.Format(time.RFC3339)+why+": messages wait on disk")
	}
	if losing.telemetry {
		h.Failures = append(h.Failures, fmt.Sprintf("keep-alive events are being dropped, %d so far", s.TelemetryDropped))
	}
	if a := s.Audit; a != nil && a.Problem != "" {
		h.Failures = append(h.Failures, "the audit log cannot be written since "+a.Since.Format(time.RFC3339)+": "+a.Problem)
	}
	if losing.audit {
		h.Failures = append(h.Failures, fmt.Sprintf("the audit log is losing lines, %d so far", s.Audit.Missing))
	}
	if s.Outbox == nil {
		return h
	}
	if n := s.Outbox.Status.Lost; n > 0 {
		h.Warnings = append(h.Warnings, fmt.Sprintf("%d status changes and alerts were gone from the store when Pulse started", n))
	}
	if n := s.Outbox.DeadLetters(); n > 0 {
		h.Warnings = append(h.Warnings, fmt.Sprintf("%d messages are set aside, since the NATS server refuses them; the first: %s", n, s.Outbox.DeadReason()))
	}
	return h
}
