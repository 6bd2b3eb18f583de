package view

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
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
	Node     string     `json:"node,omitempty"` // that has the agent, if it is another one; that is lost, or back
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Missed   int        `json:"missed,omitempty"`
	LastSeen *time.Time `json:"last_seen,omitempty"`
	Outage   bool       `json:"outage,omitempty"`         // part of one
	Changes  int        `json:"status_changes,omitempty"` // of a status change: how many it stands for, 0 for itself alone
	Evidence
	AwayFor  int64 `json:"away_for,omitempty"` // of an alert that was repeated: seconds since the loss
	Silenced bool  `json:"silenced,omitempty"` // it was, and its alerts waited
	event.AgentInfo
	Fleet    *Outage         `json:"fleet,omitempty"`
	Agents   *int            `json:"agents,omitempty"`   // that it had, or has
	Machines []event.Machine `json:"machines,omitempty"` // which have the key of one agent
	Lull     *float64        `json:"away_ms,omitempty"`
}

// Evidence is what was seen of a loss, as in [event.Evidence].
type Evidence struct {
	Host         event.Host `json:"host,omitempty"`
	HostProbe    string     `json:"host_probe,omitempty"`
	HostProbedAt *time.Time `json:"host_probed_at,omitempty"`
	Confidence   []string   `json:"confidence,omitempty"`
	Technique    string     `json:"technique,omitempty"`
}

func newEvidence(c *evidence.Change) Evidence {
	m := c.Message()
	e := Evidence{Host: m.Host, HostProbe: m.HostProbe, Confidence: m.Confidence, Technique: m.Technique}
	if m.HostProbe != "" {
		at := TruncateTime(c.HostProbedTime)
		e.HostProbedAt = &at
	}
	return e
}

// Outage is the loss of a large part of the fleet.
type Outage struct {
	Since   time.Time `json:"since"`
	Watched int       `json:"agents_watched"`
	Lost    int       `json:"agents_lost"`
	Closed  int       `json:"connections_closed"`
	Silent  int       `json:"fell_silent"`
	Back    int       `json:"agents_back"`

	HostsProbed   int `json:"hosts_probed,omitempty"`   // of the lost, a sample whose hosts were probed
	HostsAnswered int `json:"hosts_answered,omitempty"` // of these, the hosts that answer

	Networks []event.Network `json:"networks"`
}

// The kinds of event are called what the messages on NATS are.
var kindNames = map[history.Kind]string{history.Change: "status_change", history.Away: "agent_away", history.Flapping: "agent_flapping", history.Outage: "fleet_outage",
	history.Recovered: "fleet_recovered", history.Starved: "pulse_was_away", history.NodeLost: "node_lost", history.NodeBack: "node_back", history.Duplicated: "agent_duplicated"}

var alertLevels = map[history.Kind]int{history.Flapping: alertlevel.Flapping, history.Outage: alertlevel.Outage, history.Recovered: alertlevel.Recovered,
	history.NodeLost: alertlevel.NodeLost, history.NodeBack: alertlevel.NodeBack, history.Duplicated: alertlevel.Duplicated}

// NewEvent presents an event of the history.
func NewEvent(e *history.Event) Event {
	shown := Event{Seq: e.Seq, Kind: kindNames[e.Kind], At: TruncateTime(e.At), KnownAt: TruncateTime(e.Known), Level: alertLevels[e.Kind],
		Name: e.Name, IP: e.IP, Node: e.Node, Changes: e.Changes, Outage: e.Outage, Fleet: NewOutage(e.Fleet)}
	if delay := e.Delay(); delay > 0 {
		ms := float64(delay.Round(time.Millisecond)) / float64(time.Millisecond)
		shown.Delay = &ms
	}
	switch e.Kind {
	case history.Change, history.Away:
		change := evidence.Change{Reason: e.Reason, Missed: e.Missed, Step: e.Step, Evidence: e.Evidence}
		shown.From, shown.To, shown.Reason, shown.Missed = e.From.String(), e.To.String(), e.Reason.String(), e.Missed
		shown.Level, shown.Evidence, shown.Silenced = change.AlertLevel(), newEvidence(&change), e.Silenced
		shown.AwayFor = int64(e.AwayFor / time.Second)
		shown.AgentInfo = evidence.InfoMessage(detector.ReadInfo(e.Info))
		if !e.LastSeen.IsZero() {
			seen := TruncateTime(e.LastSeen)
			shown.LastSeen = &seen
		}
		fallthrough
	case history.Flapping:
		shown.ID = e.ID.String()
	case history.NodeLost, history.NodeBack:
		shown.Node, shown.Agents = e.Cluster.Node, &e.Cluster.Agents
	case history.Duplicated:
		shown.ID = e.ID.String()
		for _, m := range e.Cluster.Machines {
			shown.Machines = append(shown.Machines, event.Machine{Node: m.Node, IPAddress: m.IP})
		}
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
	o := &Outage{Since: TruncateTime(f.SinceTime), Watched: f.Watched, Lost: f.Lost, Closed: f.Closed, Silent: f.Silent, Back: f.Back, HostsProbed: f.HostsProbed, HostsAnswered: f.HostsAnswered, Networks: []event.Network{}}
	for _, n := range f.Networks {
		o.Networks = append(o.Networks, event.Network{Network: n.Prefix.String(), Agents: n.Lost})
	}
	return o
}

// DescribeChange returns an event about an agent in words.
func (e *Event) DescribeChange() string {
	switch e.Kind {
	case kindNames[history.Flapping]:
		return fmt.Sprintf("%d status changes: its alerts are held until it is stable", e.Changes)
	case kindNames[history.Away]:
		return fmt.Sprintf("away for %v: %s", time.Duration(e.AwayFor)*time.Second, e.Reason)
	}
	text := e.From + " → " + e.To
	if e.Reason != "" { // of an agent of another node it may not be known
		text += ": " + e.Reason
	}
	if e.Node != "" {
		text += ", at node " + e.Node
	}
	if e.To == detector.Disconnected.String() && e.Missed > 0 {
		text += fmt.Sprintf(", %d keep-alives missed", e.Missed)
	}
	switch e.Host {
	case event.HostAnswers:
		text += ", its host answers"
	case event.HostSilent:
		text += ", its host is silent"
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
