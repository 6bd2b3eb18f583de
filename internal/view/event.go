package view

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

// Event is what was decided about an agent or the fleet: who, what, why, and
// how soon it was known.
type Event struct {
	Seq     uint64    `json:"seq"` // rises by one, within a run of the node
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"`                       // when it happened
	KnownAt time.Time `json:"known_at"`                 // when it was decided
	Delay   *float64  `json:"known_after_ms,omitempty"` // see [history.Event.Delay]
	Level   int       `json:"alert_level"`

	ID       string     `json:"id,omitempty"`
	Name     string     `json:"name,omitempty"`
	IP       string     `json:"ip,omitempty"`
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Missed   int        `json:"missed,omitempty"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Outage   bool       `json:"outage,omitempty"`         // part of one
	Changes  int        `json:"status_changes,omitempty"` // of a status change: how many it stands for, 0 for itself alone
	Fleet    *Outage    `json:"fleet,omitempty"`
	Lull     *float64   `json:"away_ms,omitempty"`
}

// Outage is the loss of a large part of the fleet.
type Outage struct {
	Since    time.Time       `json:"since"`
	Watched  int             `json:"agents_watched"`
	Lost     int             `json:"agents_lost"`
	Closed   int             `json:"connections_closed"`
	Silent   int             `json:"fell_silent"`
	Back     int             `json:"agents_back"`
	Networks []event.Network `json:"networks"`
}

// The kinds of event are called what the messages on NATS are.
var kindNames = map[history.Kind]string{history.Change: "status_change", history.Flapping: "agent_flapping", history.Outage: "fleet_outage",
	history.Recovered: "fleet_recovered", history.Starved: "pulse_was_away"}

var alertLevels = map[history.Kind]int{history.Flapping: alertlevel.Flapping, history.Outage: alertlevel.Outage, history.Recovered: alertlevel.Recovered}

// NewEvent presents an event of the history.
func NewEvent(e *history.Event) Event {
	shown := Event{Seq: e.Seq, Kind: kindNames[e.Kind], At: TruncateTime(e.At), KnownAt: TruncateTime(e.Known), Level: alertLevels[e.Kind],
		Name: e.Name, IP: e.IP, Changes: e.Changes, Outage: e.Outage, Fleet: NewOutage(e.Fleet)}
	if delay := e.Delay(); delay > 0 {
		ms := float64(delay.Round(time.Millisecond)) / float64(time.Millisecond)
		shown.Delay = &ms
	}
	switch e.Kind {
	case history.Change:
		shown.From, shown.To, shown.Reason, shown.Missed = e.From.String(), e.To.String(), e.Reason.String(), e.Missed
		shown.Level = alertlevel.OfStatusChange(event.Reason(shown.Reason), e.Missed)
		if !e.LastSeen.IsZero() {
			seen := TruncateTime(e.LastSeen)
			shown.LastSeen = &seen
		}
		fallthrough
	case history.Flapping:
		shown.ID = e.ID.String()
	case history.Starved:
		ms := float64(e.Pause.Milliseconds())
		shown.Lull = &ms
	}
	return shown
}

// NewOutage presents an outage; nil for nil.
func NewOutage(f *detector.Fleet) *Outage {
	if f == nil {
		return nil
	}
	o := &Outage{Since: TruncateTime(f.SinceTime), Watched: f.Watched, Lost: f.Lost, Closed: f.Closed, Silent: f.Silent, Back: f.Back, Networks: []event.Network{}}
	for _, n := range f.Networks {
		o.Networks = append(o.Networks, event.Network{Network: n.Prefix.String(), Agents: n.Lost})
	}
	return o
}

// DescribeChange returns an event about an agent in words.
func (e *Event) DescribeChange() string {
	if e.Kind != kindNames[history.Change] {
		return fmt.Sprintf("%d status changes: its alerts are held until it is stable", e.Changes)
	}
	text := fmt.Sprintf("%s → %s: %s", e.From, e.To, e.Reason)
	if e.To == detector.Disconnected.String() && e.Missed > 0 {
		text += fmt.Sprintf(", %d keep-alives missed", e.Missed)
	}
	if e.Changes > 0 {
		text += fmt.Sprintf(", the last of %d changes", e.Changes)
	}
	return text
}

// NewEvents presents events of the history.
func NewEvents(events []history.Event) []Event {
	list := make([]Event, len(events))
	for i := range events {
		list[i] = NewEvent(&events[i])
	}
	return list
}
