package daemon

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/roster"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Status is how a node is doing: what the heartbeat tells, and /api/v1/status and
// /healthz show. Counts are since the node started.
type Status struct {
	Node       string            `json:"node"`
	Version    string            `json:"version"`
	Epoch      uint64            `json:"epoch"`
	StartedAt  time.Time         `json:"started_at"`
	Uptime     int64             `json:"uptime"` // seconds
	State      event.State       `json:"state"`
	Sequence   uint64            `json:"sequence"` // of the last message of this life
	Health     view.Health       `json:"health"`
	Conditions []Condition       `json:"conditions,omitempty"` // what health is made of
	Agents     event.AgentCounts `json:"agents"`
	Link       Link              `json:"link"`
	NATS       NATS              `json:"nats"`
	Outbox     *outbox.Stats     `json:"outbox,omitempty"` // absent with NATS disabled

	Roster *roster.Stats `json:"roster,omitempty"` // absent with NATS disabled

	Audit *audittrail.Status `json:"audit,omitempty"` // absent with audit_logging no

	OtherNode *OtherNode `json:"other_node,omitempty"`     // with this node's name; absent while there is none
	Unwatched string     `json:"name_unwatched,omitempty"` // why that is not known; absent while it is

	SettingsProblem string `json:"settings_problem,omitempty"` // of those that were read last; absent while they are in effect

	TelemetryDropped uint64 `json:"telemetry_dropped"` // keep-alive events lost before publication, or before they were forwarded
}

// NATS is the way to the XDR's NATS.
type NATS struct {
	State   event.State `json:"state"`
	Since   time.Time   `json:"since"`
	Problem string      `json:"problem,omitempty"` // while it is not connected: a remote.Problem, or NameTaken
}

// natsDisabled is the state of a node whose decisions only the log tells.
const natsDisabled = "disabled"

// Status returns how the node is doing now.
func (n *Node) Status() Status {
	s := n.out.read()
	s.Agents = agentCounts(n.detector.Counts())
	s.Link = n.link.Status()
	s.SettingsProblem = n.settings.readProblem()
	if n.roster != nil {
		kept := n.roster.Stats()
		s.Roster = &kept
	}
	n.out.judge(&s)
	return s
}

// status is the part of it that lies behind the detector.
func (p *Publisher) status() Status {
	s := p.read()
	p.judge(&s)
	return s
}

// read returns that part without its conditions.
func (p *Publisher) read() Status {
	r := p.recorder
	source := r.writer.Source
	s := Status{Node: source.Node, Version: source.Version, Epoch: source.Epoch, StartedAt: r.started.UTC(),
		Uptime: int64(time.Since(r.started) / time.Second), State: event.NodeRunning, NATS: p.nats(),
		Sequence: r.numbers.Load(), TelemetryDropped: r.dropped.Load()}
	if p.backlog.isClosed() {
		s.State = event.NodeStopping
	}
	if p.outbox != nil {
		stats := p.outbox.Stats()
		s.Outbox = &stats
		s.TelemetryDropped += stats.Telemetry.Dropped
	}
	s.Audit = p.audit.Status()
	p.observeOthers(&s)
	return s
}

// judge derives the conditions of a status, and its health from them.
func (p *Publisher) judge(s *Status) {
	now := time.Now()
	o := observation{Status: s, losing: losses{telemetry: p.drops.recent(s.TelemetryDropped, now), audit: s.Audit != nil && p.unlogged.recent(s.Audit.Missing, now),
		panics: s.Link.Stats != nil && p.panics.recent(uint64(s.Link.Panics), now)}}
	if s.Outbox != nil {
		o.losing.ids = p.reusedIDs.recent(s.Outbox.Status.Duplicates+s.Outbox.Telemetry.Duplicates, now)
	}
	if p.outbox != nil {
		o.storing = p.outbox.Err()
	}
	o.unwritten = p.pending.Problem()
	if p.state != nil && p.state.Caution != nil {
		o.exposed = p.state.Caution.Error()
	}
	s.Conditions = deriveConditions(&o)
	p.recorder.conditions.stamp(s.Conditions, now)
	s.Health = healthOf(s.Conditions)
}

func (p *Publisher) nats() NATS {
	switch {
	case p.outbox == nil:
		return NATS{State: natsDisabled, Since: p.recorder.started.UTC()}
	case p.remote == nil:
		return NATS{State: event.NATSEmbedded, Since: p.recorder.started.UTC()}
	}
	now := p.remote.State()
	s := NATS{State: event.NATSConnecting, Since: now.Since.UTC(), Problem: now.Problem}
	if now.Unavailable {
		s.State = event.NATSUnavailable
	} else if now.Connected {
		s.State = event.NATSConnected
	}
	return s
}

// message returns the status as the heartbeat publishes it.
func (s *Status) message() event.ManagerStatus {
	m := event.ManagerStatus{StartedAt: s.StartedAt.Unix(), Agents: s.Agents, Uptime: s.Uptime, State: s.State,
		TelemetryDropped: s.TelemetryDropped, Link: s.Link.state(), NATS: event.NATSState{State: s.NATS.State, Since: s.NATS.Since.Unix()}}
	if o := s.Outbox; o != nil {
		m.OutboxDepth, m.DeadLetters = o.Status.Backlog+o.Telemetry.Backlog, o.DeadLetters()
	}
	for i := range s.Conditions {
		m.Conditions = append(m.Conditions, s.Conditions[i].Code)
	}
	if a := s.Audit; a != nil {
		m.Audit = &event.AuditState{State: a.State, Seq: a.Seq, Hash: a.Hash, Missing: a.Missing}
	}
	return m
}

func agentCounts(n [4]int) event.AgentCounts {
	return event.AgentCounts{Active: n[detector.Active], Disconnected: n[detector.Disconnected],
		Pending: n[detector.Pending], NeverConnected: n[detector.NeverConnected]}
}

// drops tells whether a count of losses rises. It is asked at least every
// heartbeat. It may be used concurrently.
type drops struct {
	mu    sync.Mutex
	total uint64
	rose  time.Time
}

// dropsRecent is for how long after a loss the node is not called healthy.
const dropsRecent = time.Minute

func (d *drops) recent(total uint64, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if total > d.total {
		d.total, d.rose = total, now
	}
	return !d.rose.IsZero() && now.Sub(d.rose) < dropsRecent
}
