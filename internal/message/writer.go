package message

import (
	"encoding/json"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// Record is a decision to publish, and what became of it so far.
type Record struct {
	detector.Decision
	Group   *Group        // the agent's, by the settings in effect at the decision
	SendErr error         // of a Send: why the keep-alive was not sent
	Cluster *Move         // of a change of status, in a cluster; nil elsewhere
	Alert   *ClusterAlert // not nil: it is no decision, but this
	Stored  func()        // called once its messages are on the disk; nil for nobody
}

// Move is what a node of a cluster knows of where an agent is.
type Move struct {
	From  string // the node that had it before; "" for none, or this one
	To    string // the node that has it now; "" for this one
	Order uint64 // how much of what the nodes share was stored when it became true
}

// IsRoutine reports whether it is about keep-alives or probes.
func (r *Record) IsRoutine() bool { return r.Alert == nil && r.Verdict.IsRoutine() }

// Group holds the settings of a group of agents that their messages depend on.
type Group struct {
	Interval       time.Duration // of keep-alives
	AlertThreshold int           // alert level from which a status change is an alert
	FlapWindow     time.Duration
}

// Writer makes messages. It numbers them, so its methods are called in the order in
// which the messages are published. It is for one goroutine, but for Source's fields.
type Writer struct {
	Source *Source
	Sent   *SentAlerts
	prefix event.Prefix
	ids    *idSigner
}

// NewWriter returns a writer of messages from a source, to subjects with a prefix.
func NewWriter(source Source, prefix event.Prefix) *Writer {
	return &Writer{Source: &source, Sent: NewSentAlerts(), prefix: prefix, ids: newIDSigner()}
}

// AppendRecord appends the messages of a record: none, one, or two if a status change
// is an alert too. It keeps in Sent what is an alert.
func (w *Writer) AppendRecord(out []outbox.Message, r *Record) []outbox.Message {
	if r.Alert != nil {
		return append(out, w.clusterAlert(r.Alert))
	}
	switch r.Verdict {
	case detector.Changed:
		out = append(out, w.statusChange(r, w.prefix.StatusChange(r.ID.String())))
	case detector.Flapping:
		out = append(out, w.flapping(r))
	case detector.OutageBegan, detector.OutageEnded:
		out = append(out, w.fleetOutage(r))
	case detector.Send, detector.Acknowledged, detector.Failed:
		out = append(out, w.keepAlive(r))
	}
	alert := r.IsAlert()
	if alert {
		out = append(out, w.statusChange(r, w.prefix.AgentDisconnected()))
	}
	w.Sent.record(r, alert)
	return out
}

// IsAlert reports whether a record is published as an alert about one agent that is away.
func (r *Record) IsAlert() bool {
	if r.Alert != nil {
		return false
	}
	switch r.Verdict {
	case detector.Changed:
		if r.AlertHeld || r.Reason == detector.NodeLost { // the node's loss is the alert
			return false
		}
	case detector.AlertReleased, detector.Escalated:
	default:
		return false
	}
	change := evidence.OfDecision(&r.Decision)
	return r.To == detector.Disconnected && change.AlertLevel() >= r.Group.AlertThreshold
}

// keepAlive returns the message of a Send, Acknowledged or Failed record.
func (w *Writer) keepAlive(r *Record) outbox.Message {
	id := r.ID.String()
	m := event.KeepAliveMessage{Event: event.KeepAlive{AgentID: id, AgentName: r.Name, IPAddress: r.IP,
		Timestamp: r.Time.Unix(), ManagerNode: w.Source.Node, Interval: WholeSeconds(r.Group.Interval)}}
	e := &m.Event
	switch {
	case r.Verdict == detector.Acknowledged:
		ms := float64(r.RTT.Round(time.Microsecond)) / float64(time.Millisecond)
		e.EventType, e.RTT = event.KeepAliveAcknowledged, &ms
	case r.Verdict == detector.Failed:
		e.EventType, e.Missed = event.KeepAliveFailed, &r.Missed
	case r.SendErr != nil:
		e.EventType, e.Error = event.KeepAliveFailed, r.SendErr.Error()
	default:
		e.EventType = event.KeepAliveSent
	}
	subject := w.prefix.KeepAlive(id)
	m.Security = w.Source.Stamp(subject, time.Now())
	return w.encode(outbox.Telemetry, &m.Security, &m)
}

// statusChange returns the message of a Changed, AlertReleased or Escalated record.
func (w *Writer) statusChange(r *Record, subject string) outbox.Message {
	m := event.StatusChangeMessage{StatusChange: NewStatusChange(r), Security: w.Source.Stamp(subject, time.Now())}
	return w.encode(outbox.Status, &m.Security, &m)
}

// fleetOutage returns the message of an OutageBegan or OutageEnded record.
func (w *Writer) fleetOutage(r *Record) outbox.Message {
	o := NewFleetOutage(w.Source.Node, r)
	m := event.FleetOutageMessage{Security: w.Source.Stamp(w.prefix.FleetOutage(), time.Now())}
	if r.Verdict == detector.OutageBegan {
		m.Outage = &o
	} else {
		m.Recovered = &o
	}
	return w.encode(outbox.Status, &m.Security, &m)
}

// flapping returns the message of a Flapping record.
func (w *Writer) flapping(r *Record) outbox.Message {
	m := event.AgentFlappingMessage{Flapping: NewFlapping(r), Security: w.Source.Stamp(w.prefix.AgentFlapping(), time.Now())}
	return w.encode(outbox.Status, &m.Security, &m)
}

// Heartbeat returns the message of the node's status, and sets the status's node and
// its times.
func (w *Writer) Heartbeat(s event.ManagerStatus) outbox.Message {
	now := time.Now()
	s.ManagerNode, s.Timestamp, s.Interval = w.Source.Node, now.Unix(), WholeSeconds(event.HeartbeatInterval)
	m := event.ManagerStatusMessage{ManagerStatus: s, Security: w.Source.Stamp(w.prefix.ManagerStatus(w.Source.Node), now)}
	return w.encode(outbox.Telemetry, &m.Security, &m)
}

// LastWill returns the message that this node is lost, as others announce it when it is
// due. It has the number of the message that was made last, a heartbeat: each will replaces
// the one before, and a number of its own would be missing. The two are in different
// streams, and readers follow the numbers of each stream by itself.
func (w *Writer) LastWill(n event.NodeLoss, due time.Time) outbox.Message {
	a := ClusterAlert{Lost: &n}
	a.Complete(w.Source.Node, due)
	m := event.NodeLostMessage{Lost: a.Lost, Security: w.Source.stampAgain(w.prefix.NodeLost(), time.Now())}
	return w.encode(outbox.Status, &m.Security, &m)
}

// NodeCondition returns the message of a node's condition that began or ended, and sets
// the condition's node, time and alert level.
func (w *Writer) NodeCondition(c event.NodeCondition, failure bool, now time.Time) outbox.Message {
	c = CompleteCondition(w.Source.Node, c, failure, now)
	m := event.NodeConditionMessage{Condition: c, Security: w.Source.Stamp(w.prefix.NodeCondition(), now)}
	return w.encode(outbox.Status, &m.Security, &m)
}

func (w *Writer) encode(class outbox.Class, s *event.Security, m event.Message) outbox.Message {
	data, err := json.Marshal(m)
	if err != nil {
		panic("message: no JSON: " + err.Error()) // plain structs of text and finite numbers
	}
	out := outbox.Message{Class: class, Subject: s.Subject, ID: w.ids.signID(s.ID()), ContentType: event.ContentType, Data: data}
	if class == outbox.Status {
		out.Body = m
	}
	if kind, subject := cloudEventOf(m); kind != "" {
		out.CloudEvent = newCloudEvent(kind, subject, s)
	}
	return out
}

// WholeSeconds rounds up: no interval is published as 0.
func WholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
