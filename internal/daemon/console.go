package daemon

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/metrics"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// openConsole opens the console, if the settings want one, with the events of earlier
// runs.
func (n *Node) openConsole(ctx context.Context, cfg *config.Config, version string) (err error) {
	p := &cfg.Pulse
	if p.HTTP == "" {
		return nil
	}
	if n.web, err = net.Listen("tcp", p.HTTP); err != nil {
		return fmt.Errorf("open the console (<pulse><http>): %w", err)
	}
	var readChanges func(context.Context, time.Time, *detector.AgentID, func(*history.Event)) (time.Time, error)
	if n.out.natsEnabled() {
		readChanges = n.out.readChanges
	}
	n.console, err = console.New(console.Config{Node: p.NodeName, Version: version, Epoch: n.out.source().Epoch,
		Fleet: n.fleet, Nodes: n.listNodes, Clock: n.clock, History: n.history, Groups: listGroupNames(cfg), State: n.readConsoleState, Metrics: n.metrics.Registry(),
		Silences: n.silences, ReadChanges: readChanges, Refused: n.audit.RecordConsoleRefusal, TokenFile: p.HTTPTokenFile, CertFile: p.HTTPCert, KeyFile: p.HTTPKey, WazuhDashboard: p.WazuhDashboardURL, Log: n.log})
	if err != nil || !n.out.natsEnabled() {
		return err
	}
	return n.restoreHistory(ctx)
}

// CheckConsoleFiles reads the console's token and certificate as a node of these settings does.
func CheckConsoleFiles(cfg *config.Config) error {
	if cfg.Pulse.HTTP == "" {
		return nil
	}
	return console.CheckFiles(cfg.Pulse.HTTPTokenFile, cfg.Pulse.HTTPCert, cfg.Pulse.HTTPKey)
}

// restoreHistory gives the console the events of earlier runs.
func (n *Node) restoreHistory(ctx context.Context) error {
	events, err := n.out.readEvents(ctx)
	if err != nil {
		return err
	}
	n.history.RestoreEvents(events)
	if n.history.CurrentOutage() != nil {
		n.metrics.RestoreOutage()
	}
	return nil
}

// recordDecisions adds decisions to the history and the metrics. It never waits.
func (n *Node) recordDecisions(decisions []detector.Decision) {
	n.history.RecordDecisions(decisions)
	n.metrics.CountDecisions(decisions, n.clock.Now())
}

// stallTimeout is how long a detector may be busy with one thing.
const stallTimeout = 2 * time.Second

// readConsoleState returns the node's status for the console.
func (n *Node) readConsoleState() console.State {
	s := n.Status()
	state := console.State{Shown: &s, Health: s.Health, Sequence: s.Sequence, Lateness: n.detector.Timings().Lateness}
	if s.State == event.NodeStopping {
		state.NotReady = append(state.NotReady, "the node is ending")
	}
	if s.Agents == (event.AgentCounts{}) {
		state.NotReady = append(state.NotReady, "no agent is known: the node watches nobody")
	}
	if s.Outbox != nil {
		state.Depth = s.Outbox.Status.Backlog + s.Outbox.Telemetry.Backlog
		if err := n.out.outboxErr(); err != nil {
			state.NotReady = append(state.NotReady, "outbox: "+err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stallTimeout)
	defer cancel()
	if err := n.Alive(ctx); err != nil {
		state.NotReady = append(state.NotReady, "the detector does not come round: "+err.Error())
	}
	return state
}

// readMetrics returns the node's figures for Prometheus.
func (n *Node) readMetrics() metrics.Node {
	s := n.Status()
	m := metrics.Node{Agents: n.detector.Counts(), Pace: n.detector.Timings(), Started: s.StartedAt, Sequence: s.Sequence,
		Healthy: len(s.Health.Failures) == 0, EventsDropped: n.out.recorder.dropped.Load(),
		LinkUp: true, NATSUp: s.NATS.State == event.NATSEmbedded || s.NATS.State == event.NATSConnected}
	f := n.silences.Figures()
	m.Silences = map[string]int64{string(silence.Active): int64(f.Active), string(silence.Waiting): int64(f.Waiting)}
	m.AgentsSilenced, m.SilencesRefused = f.Agents, f.Refused
	m.Conditions = make(map[string]int64, len(conditionChecks))
	for _, code := range ConditionCodes() {
		m.Conditions[code] = 0
	}
	for _, c := range s.Conditions {
		m.Conditions[c.Code] = 1
	}
	m.DiskFree, _ = n.out.space.readSpace(time.Now())
	m.Expiries = make(map[string]int64)
	for _, i := range n.out.listExpiries(time.Now()) {
		m.Expiries[i.Code] = i.At.Unix()
	}
	if l := s.Link.Stats; l != nil {
		m.Connections, m.Accepted, m.Refused, m.Panics = l.Connections, l.Accepted, l.Refused, l.Panics
		m.Received = map[string]int64{"keepalive": l.KeepAlives, "event": l.Events, "answer": l.Answers, "ping": l.Pings, "unknown": l.Unknown}
	}
	if a := s.Link.Attach; a != nil {
		m.Connections, m.Requests, m.InFlight, m.StatusesWritten, m.AlertsRaised, m.LinkUp = a.Connections, a.Outcomes, a.InFlight, a.Written, a.Alerts, a.Problem == ""
		m.ManagerEvents, m.ManagerDropped = a.EventsSent, a.EventsDropped
		m.ManagerAgents, m.NotAskedLostAfter = map[string]int64{"request": a.Agents - a.Unaskable, "database": a.Unaskable}, a.LostAfter
	}
	m.Cluster = n.readClusterMetrics()
	if n.console != nil {
		m.Subscribers = n.console.Subscribers()
	}
	m.HostProbes = n.countHostProbes()
	if a := s.Audit; a != nil {
		m.Audit = &metrics.Audit{Lines: a.Seq, Missing: a.Missing, Writable: a.Problem == ""}
	}
	if o := s.Outbox; o != nil {
		m.NATS = string(s.NATS.State)
		m.Forwarding = metrics.Forwarding{Errors: o.ForwardErrors, LoginsRefused: o.LoginsRefused}
		for _, stream := range []struct {
			name string
			of   *outbox.StreamStats
		}{{"STATUS", &o.Status}, {"TELEMETRY", &o.Telemetry}} {
			of := stream.of
			one := metrics.Stream{Name: stream.name, Published: of.Published, Forwarded: of.Forwarded, Dropped: of.Dropped,
				CaughtUp: of.CaughtUp, Backlog: of.Backlog, DeadLetters: of.Dead, Bytes: of.Bytes, Lost: of.Lost,
				Waiting: of.Waiting, Unacknowledged: of.Unacknowledged, ReusedIDs: of.Duplicates}
			if of.Oldest != nil {
				one.Oldest = *of.Oldest
			}
			m.Streams = append(m.Streams, one)
		}
	}
	return m
}
