package daemon

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/expiry"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/republisher"
	"github.com/wazuh-pulse/pulse/internal/roster"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// Status is the state of a node: the heartbeat publishes it, and /api/v1/status and
// /healthz show it. Counts are since the node started.
type Status struct {
	Node       string            `json:"node"`
	Version    string            `json:"version"`
	Epoch      uint64            `json:"epoch"`
	StartedAt  time.Time         `json:"started_at"`
	Uptime     int64             `json:"uptime"` // seconds
	State      event.State       `json:"state"`
	Sequence   uint64            `json:"sequence"` // of the last message since the start
	Health     view.Health       `json:"health"`
	Conditions []Condition       `json:"conditions,omitempty"` // what health is made of
	Agents     event.AgentCounts `json:"agents"`
	Link       Link              `json:"link"`
	NATS       NATS              `json:"nats"`
	Outbox     *outbox.Stats     `json:"outbox,omitempty"` // absent with NATS disabled

	Roster *roster.Stats `json:"roster,omitempty"` // absent with NATS disabled

	OCSF *republisher.Stats `json:"ocsf,omitempty"` // absent without <ocsf_subject>

	Audit *audittrail.Status `json:"audit,omitempty"` // absent with audit_logging no

	Cluster *ClusterStatus `json:"cluster,omitempty"` // absent outside a cluster

	OtherNode *OtherNode `json:"other_node,omitempty"`     // with this node's name; absent while there is none
	Unwatched string     `json:"name_unwatched,omitempty"` // why that is not known; absent while it is

	SettingsProblem string `json:"settings_problem,omitempty"` // of those that were read last; absent while they are in effect

	TelemetryDropped uint64 `json:"telemetry_dropped"` // keep-alive events lost before publication, or before they were forwarded
}

// NATS is the state of the connection to the XDR's NATS.
type NATS struct {
	State   event.State `json:"state"`
	Since   time.Time   `json:"since"`
	Problem string      `json:"problem,omitempty"` // while it is not connected: a remote.Problem, or NameTaken

	ServerNode string `json:"server_node,omitempty"` // the node whose Pulse runs the server; absent if it is none
}

// natsDisabled is the state of a node that publishes nothing.
const natsDisabled = "disabled"

// Status returns the present status of the node.
func (n *Node) Status() Status {
	s := n.out.readStatus()
	s.Agents = view.CountAgents(n.detector.Counts())
	s.Link = n.link.Status()
	s.Cluster = n.clustered.status()
	s.SettingsProblem = *cmp.Or(n.settings.problem.Load(), new(string))
	if n.roster != nil {
		kept := n.roster.Stats()
		s.Roster = &kept
	}
	n.out.addConditions(&s)
	return s
}

func (p *Publisher) status() Status {
	s := p.readStatus()
	p.addConditions(&s)
	return s
}

// readStatus returns that part without its conditions.
func (p *Publisher) readStatus() Status {
	r := p.recorder
	source := r.writer.Source
	s := Status{Node: source.Node, Version: source.Version, Epoch: source.Epoch, StartedAt: r.started.UTC(),
		Uptime: int64(time.Since(r.started) / time.Second), State: event.NodeRunning, NATS: p.readNATSState(),
		Sequence: r.numbers.Load(), TelemetryDropped: r.dropped.Load()}
	if p.backlog.isClosed() {
		s.State = event.NodeStopping
	}
	if p.outbox != nil {
		stats := p.outbox.Stats()
		s.Outbox = &stats
		s.TelemetryDropped += stats.Telemetry.Dropped
	}
	if p.ocsf != nil {
		events := p.ocsf.Stats()
		s.OCSF = &events
	}
	s.Audit = p.audit.Status()
	p.addOtherNodes(&s)
	return s
}

// addConditions derives the conditions of a status, and its health from them.
func (p *Publisher) addConditions(s *Status) {
	now := time.Now()
	o := observation{Status: s, losing: losses{telemetry: p.dropped.roseRecently(s.TelemetryDropped, now), audit: s.Audit != nil && p.unlogged.roseRecently(s.Audit.Missing, now),
		panics: s.Link.Stats != nil && p.panics.roseRecently(uint64(s.Link.Panics), now)}}
	if s.Outbox != nil {
		o.losing.ids = p.reusedIDs.roseRecently(s.Outbox.Status.Duplicates+s.Outbox.Telemetry.Duplicates, now)
	}
	if p.remote != nil {
		state := p.remote.State()
		o.refused, o.user = state.Refused, state.User
	}
	o.expiring = expiry.FindSoon(p.listExpiries(now), now)
	o.free, o.fullAt = p.space.readSpace(now)
	o.storing = p.outboxErr()
	o.unwritten = p.pending.Problem()
	if p.state != nil && p.state.Caution != nil {
		o.exposed = p.state.Caution.Error()
	}
	s.Conditions = deriveConditions(&o)
	p.recorder.conditions.setBeginnings(s.Conditions, now)
	s.Health = makeHealth(s.Conditions)
}

func (p *Publisher) readNATSState() NATS {
	switch {
	case p.outbox == nil:
		return NATS{State: natsDisabled, Since: p.recorder.started.UTC()}
	case p.remote == nil:
		return NATS{State: event.NATSEmbedded, Since: p.recorder.started.UTC()}
	}
	now := p.remote.State()
	s := NATS{State: event.NATSConnecting, Since: now.Since.UTC(), Problem: now.Problem, ServerNode: p.serverNode}
	if now.Unavailable {
		s.State = event.NATSUnavailable
	} else if now.Connected {
		s.State = event.NATSConnected
	}
	return s
}

// managerStatus returns the status as the heartbeat publishes it.
func (s *Status) managerStatus() event.ManagerStatus {
	m := event.ManagerStatus{StartedAt: s.StartedAt.Unix(), Agents: s.Agents, Uptime: s.Uptime, State: s.State,
		TelemetryDropped: s.TelemetryDropped, Link: s.Link.stateMessage(), NATS: event.NATSState{State: s.NATS.State, Since: s.NATS.Since.Unix()}}
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

// riseWatch reports whether a count of losses rises. It is called at least every
// heartbeat. It may be used concurrently.
type riseWatch struct {
	mu    sync.Mutex
	total uint64
	rose  time.Time
}

// lossPeriod is how long after a loss the node is not healthy.
const lossPeriod = time.Minute

func (w *riseWatch) roseRecently(total uint64, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if total > w.total {
		w.total, w.rose = total, now
	}
	return !w.rose.IsZero() && now.Sub(w.rose) < lossPeriod
}

// Alive returns when the detector has completed a round, and so still watches. It does
// not while publishing has been stuck for so long that the detector waits for it.
func (n *Node) Alive(ctx context.Context) error { return n.detector.CheckAlive(ctx) }

// Summary returns the state of the node in one line of text.
func (n *Node) Summary() string {
	s := n.out.status()
	a := view.CountAgents(n.detector.Counts())
	line := fmt.Sprintf("%d active, %d pending, %d disconnected, %d never connected", a.Active, a.Pending, a.Disconnected, a.NeverConnected)
	if a.Dormant > 0 {
		line = fmt.Sprintf("%d active, %d pending, %d disconnected (%d of them dormant), %d never connected", a.Active, a.Pending, a.Disconnected, a.Dormant, a.NeverConnected)
	}
	if s.NATS.State == event.NATSConnecting || s.NATS.State == event.NATSUnavailable {
		line += "; NATS " + string(s.NATS.State)
	}
	if s.Outbox != nil && s.Outbox.Connected {
		waiting := s.Outbox.Status.Backlog + s.Outbox.Telemetry.Backlog
		line += fmt.Sprintf("; %s %s", plural.CountNoun(waiting, "message"), plural.ChooseForm(waiting, "waits", "wait"))
	}
	return line
}
