// Package view defines how agents, events and outages are presented by the console's
// API and in answers over NATS, and how agents are filtered, sorted and listed page by
// page. It holds plain values and no state.
package view

import (
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
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

	Node       string `json:"node,omitempty"`       // of a cluster: which has it, or had it last
	Coarse     bool   `json:"coarse,omitempty"`     // it is seen through the manager's database only, and late
	Duplicated bool   `json:"duplicated,omitempty"` // two machines use its key

	Evidence             // of a disconnected one
	Silenced        bool `json:"silenced,omitempty"` // its alerts wait
	Dormant         bool `json:"dormant,omitempty"`  // it is disconnected, and away for so long that nobody waits for it
	event.AgentInfo      // what is known of it
}

// LocatedAgent is an agent with its group and network, as the console's API has it.
type LocatedAgent struct {
	Agent
	Group   string `json:"group,omitempty"`   // the <agent_group> it belongs to
	Network string `json:"network,omitempty"` // its /24 of IPv4 or /64 of IPv6
}

// AgentPage is one page of the fleet.
type AgentPage struct {
	Node   string         `json:"node"`
	Total  int            `json:"total"` // agents that match, on all pages
	Agents []LocatedAgent `json:"agents"`
	Next   string         `json:"next,omitempty"` // the cursor of the next page
}

// PingAnswer is the answer to a ping.
type PingAnswer struct {
	Node   string    `json:"node"`
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	SentAt time.Time `json:"sent_at"` // the keep-alive that was answered
	RTT    float64   `json:"rtt_ms"`
}

// NewPingAnswer presents an answered ping.
func NewPingAnswer(node string, r *detector.Record, a detector.Answer, clock *detector.Clock) PingAnswer {
	return PingAnswer{Node: node, ID: r.ID.String(), Name: r.Name, SentAt: WallTime(a.SentAt, clock), RTT: ToMilliseconds(a.RTT)}
}

// NewAgent presents a record of a fleet.
func NewAgent(fleet any, r *detector.Record, clock *detector.Clock) Agent {
	a := Agent{ID: r.ID.String(), Name: r.Name, IP: r.IP, Status: r.Status.String(), Reason: r.Reason.String(),
		Since: WallTime(r.Since, clock), Missed: r.Missed}
	a.Node, a.Coarse, a.Duplicated = NodeName(fleet, r.Node), r.Coarse, r.Duplicated
	a.Silenced, a.Dormant, a.AgentInfo = r.Silenced, r.Dormant, evidence.InfoMessage(detector.ReadInfo(r.Info))
	if r.Evidence != nil {
		change := evidence.Change{Reason: r.Reason, Missed: r.Missed, Evidence: *r.Evidence}
		change.HostProbedTime = clock.Time(change.HostProbedAt)
		a.Evidence = newEvidence(&change)
	}
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

// CountAgents returns the detector's counts as messages have them.
func CountAgents(counts detector.Counts) event.AgentCounts {
	n := counts.ByStatus
	return event.AgentCounts{Active: n[detector.Active], Disconnected: n[detector.Disconnected],
		Pending: n[detector.Pending], NeverConnected: n[detector.NeverConnected], Dormant: counts.Dormant}
}

// WallTime returns an instant as UTC, in whole milliseconds.
func WallTime(at detector.Instant, clock *detector.Clock) time.Time {
	return TruncateTime(clock.Time(at))
}

// TruncateTime returns a time as UTC, in whole milliseconds.
func TruncateTime(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// ToMilliseconds returns a duration in milliseconds, in whole microseconds.
func ToMilliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// NetworkOf returns the network that an address is in; "" if the address is not known.
func NetworkOf(ip string) string {
	if addr, err := netip.ParseAddr(ip); err == nil {
		return networkAt(addr).String()
	}
	if _, err := netip.ParsePrefix(ip); err == nil {
		return ip // what it is registered under
	}
	return ""
}

func networkAt(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 24
	}
	network, _ := addr.Prefix(bits) // the bits fit
	return network
}
