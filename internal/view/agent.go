// Package view defines how agents are presented by the console's API and in
// answers over NATS. It holds plain values and no state.
package view

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Agent is one agent of the fleet.
type Agent struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	IP       string     `json:"ip"`
	Status   string     `json:"status"`              // active, disconnected, pending or never_connected
	Reason   string     `json:"reason,omitempty"`    // of the last change
	Since    time.Time  `json:"since"`               // when the status changed last
	LastSeen *time.Time `json:"last_seen,omitempty"` // the last sign of life
	Missed   int        `json:"missed"`              // unanswered keep-alives in a row
	RTT      *float64   `json:"rtt_ms,omitempty"`    // of the last answered keep-alive, milliseconds
}

// NewAgent presents a record of the detector.
func NewAgent(r *detector.Record, clock *detector.Clock) Agent {
	a := Agent{ID: r.ID.String(), Name: r.Name, IP: r.IP, Status: r.Status.String(), Reason: r.Reason.String(),
		Since: WallTime(r.Since, clock), Missed: r.Missed}
	if r.Seen {
		seen := WallTime(r.LastSeen, clock)
		a.LastSeen = &seen
	}
	if r.RTT > 0 {
		ms := ToMilliseconds(r.RTT)
		a.RTT = &ms
	}
	return a
}

// WallTime returns an instant as UTC, in whole milliseconds.
func WallTime(at detector.Instant, clock *detector.Clock) time.Time {
	return clock.Time(at).UTC().Truncate(time.Millisecond)
}

// ToMilliseconds returns a duration in milliseconds, in whole microseconds.
func ToMilliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
