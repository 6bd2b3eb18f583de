package daemon

import (
	"encoding/json"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// writer makes messages: it gives them their numbers, so it has to be told of
// them in the order in which they are published. It is for one goroutine.
type writer struct {
	source  event.Source
	prefix  event.Prefix
	tags    *tagger
	started time.Time
	clock   *detector.Clock
}

// group is what messages about the agents of a group need to know of it.
type group struct {
	interval   time.Duration // of keep-alives
	threshold  int           // alert level from which a status change is an alert
	flapWindow time.Duration
}

// write appends the messages that a record comes to.
func (w *writer) write(out []outbox.Message, r *record) []outbox.Message {
	switch r.Verdict {
	case detector.Changed:
		out = append(out, w.statusChange(r, w.prefix.StatusChange(r.ID.String())))
		if !r.AlertHeld && w.grave(r) {
			out = append(out, w.statusChange(r, w.prefix.AgentDisconnected()))
		}
	case detector.AlertReleased:
		if w.grave(r) {
			out = append(out, w.statusChange(r, w.prefix.AgentDisconnected()))
		}
	case detector.Flapping:
		out = append(out, w.flapping(r))
	case detector.OutageBegan, detector.OutageEnded:
		out = append(out, w.fleetOutage(r))
	case detector.Send, detector.Acknowledged, detector.Failed:
		out = append(out, w.keepAlive(r))
	}
	return out
}

// grave reports whether an agent's loss is an alert.
func (w *writer) grave(r *record) bool {
	return r.To == detector.Disconnected && event.AlertLevel(r.Reason.String(), r.Missed) >= r.group.threshold
}

// keepAlive writes what a Send, Acknowledged or Failed record says.
func (w *writer) keepAlive(r *record) outbox.Message {
	id := r.ID.String()
	m := event.KeepAliveMessage{Event: event.KeepAlive{AgentID: id, AgentName: r.Name, IPAddress: r.IP,
		Timestamp: w.clock.Time(r.At).Unix(), ManagerNode: w.source.Node, Interval: seconds(r.group.interval)}}
	e := &m.Event
	switch {
	case r.Verdict == detector.Acknowledged:
		ms := float64(r.RTT.Round(time.Microsecond)) / float64(time.Millisecond)
		e.EventType, e.RTT = event.KeepAliveAcknowledged, &ms
	case r.Verdict == detector.Failed:
		e.EventType, e.Missed = event.KeepAliveFailed, &r.Missed
	case r.err != nil:
		e.EventType, e.Error = event.KeepAliveFailed, r.err.Error()
	default:
		e.EventType = event.KeepAliveSent
	}
	subject := w.prefix.KeepAlive(id)
	m.Security = w.source.Stamp(subject, time.Now())
	return w.pack(outbox.Telemetry, subject, m.Security, m)
}

// statusChange writes what a Changed or AlertReleased record says.
func (w *writer) statusChange(r *record, subject string) outbox.Message {
	m := event.StatusChangeMessage{StatusChange: event.StatusChange{AgentID: r.ID.String(), AgentName: r.Name,
		PreviousStatus: event.Status(r.From), CurrentStatus: event.Status(r.To), IPAddress: r.IP,
		Timestamp: w.clock.Time(r.At).Unix(), Reason: r.Reason.String(), MissedKeepAlives: r.Missed,
		AlertLevel: event.AlertLevel(r.Reason.String(), r.Missed), Outage: r.Outage,
		OutagePart: r.Part.String(), StatusChanges: r.Changes}}
	if r.Seen {
		m.StatusChange.LastSeen = w.clock.Time(r.LastSeen).Unix()
	}
	m.Security = w.source.Stamp(subject, time.Now())
	return w.pack(outbox.Status, subject, m.Security, m)
}

// heartbeat writes the node's own sign of life.
func (w *writer) heartbeat(s *Status) outbox.Message {
	now := time.Now()
	subject := w.prefix.ManagerStatus(w.source.Node)
	m := event.ManagerStatusMessage{
		ManagerStatus: event.ManagerStatus{ManagerNode: w.source.Node, Timestamp: now.Unix(), StartedAt: w.started.Unix(),
			Interval: seconds(event.HeartbeatInterval), Agents: s.Agents,
			Uptime: s.Uptime, State: s.State, TelemetryDropped: s.TelemetryDropped,
			Link: s.Link.state(),
			NATS: event.NATSState{State: s.NATS.State, Since: s.NATS.Since.Unix()}},
		Security: w.source.Stamp(subject, now)}
	if o := s.Outbox; o != nil {
		m.ManagerStatus.OutboxDepth, m.ManagerStatus.DeadLetters = o.Status.Backlog+o.Telemetry.Backlog, o.DeadLetters()
	}
	for i := range s.Conditions {
		m.ManagerStatus.Conditions = append(m.ManagerStatus.Conditions, s.Conditions[i].Code)
	}
	if a := s.Audit; a != nil {
		m.ManagerStatus.Audit = &event.AuditState{State: a.State, Seq: a.Seq, Hash: a.Hash, Missing: a.Missing}
	}
	return w.pack(outbox.Telemetry, subject, m.Security, m)
}

func agentCounts(n [4]int) event.AgentCounts {
	return event.AgentCounts{Active: n[detector.Active], Disconnected: n[detector.Disconnected],
		Pending: n[detector.Pending], NeverConnected: n[detector.NeverConnected]}
}

func (w *writer) pack(class outbox.Class, subject string, s event.Security, message any) outbox.Message {
	data, err := json.Marshal(message)
	if err != nil {
		panic("daemon: a message that is no JSON: " + err.Error()) // plain structs of text and finite numbers
	}
	return outbox.Message{Class: class, Subject: subject, ID: w.tags.tag(s.ID()), ContentType: event.ContentType, Data: data}
}

// seconds rounds up: no interval is announced as 0.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
