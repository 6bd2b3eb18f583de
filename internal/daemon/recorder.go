package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// recorder publishes what the detector decided, and the node's heartbeat.
type recorder struct {
	writer      *message.Writer
	started     time.Time
	backlog     *backlog
	outbox      *outbox.Outbox // nil: decisions are only logged
	status      func() Status
	dropped     atomic.Uint64 // keep-alive events that publishing did not keep up with
	numbers     atomic.Uint64 // the sequence of the last message
	statusLog   *statusLogger
	audit       *audittrail.Trail
	sealer      *sealing.Sealer // nil as is outbox
	keepAlives  string          // <nats><keepalive_events>
	pending     *statedir.PendingWrites
	conditions  conditionTracker
	onCondition func(*event.NodeCondition) // nil for nothing
	sentFile    string                     // of the published alerts
	sentTried   time.Time                  // when that was to be written last
	sentFailed  bool                       // that failed
	will        *lastWill                  // nil for none
	heartbeat   time.Duration              // between two; 0 for event.HeartbeatInterval
	log         *slog.Logger
}

// routinePeriod is for how long records of keep-alives may wait to be published
// together, which costs a third of what it costs one by one. Their time is published
// in seconds.
const routinePeriod = time.Second

// run publishes until the backlog is closed and empty, group by group, so that
// the heartbeat goes on in a storm; one more heartbeat is the node's last
// message. When ctx ends, it gives up what it has not published.
func (r *recorder) run(ctx context.Context) error {
	heartbeat := time.NewTicker(cmp.Or(r.heartbeat, event.HeartbeatInterval))
	defer heartbeat.Stop()
	routine := time.NewTicker(routinePeriod)
	defer routine.Stop()
	defer r.statusLog.logSkipped()
	if err := r.publishHeartbeat(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-heartbeat.C:
			r.statusLog.logSkipped()
			if err := r.publishHeartbeat(ctx); err != nil {
				return err
			}
		case <-routine.C:
			r.audit.RecordKeepAliveSums()
			r.pending.Retry()
			if err := r.announceConditions(ctx); err != nil {
				return err
			}
			if err := r.publishGroup(ctx); err != nil {
				return err
			}
			if time.Since(r.sentTried) >= sentPeriod {
				r.saveSentAlerts(ctx)
			}
		case <-r.backlog.ready:
			if err := r.publishGroup(ctx); err != nil {
				return err
			}
			if r.backlog.isDone() {
				r.audit.Sync() // the last heartbeat has the last line of the log
				r.saveSentAlerts(ctx)
				return r.publishHeartbeat(ctx)
			}
		}
	}
}

// sentPeriod is the least time between two writes of the file of the published alerts.
// After a crash, the alerts since then are read from STATUS.
const sentPeriod = time.Minute

// saveSentAlerts writes which alerts of the agents that are away are published, if that
// has changed. It must not be called while a group is being published. Without the file
// nothing is lost: a starting node then reads further back.
func (r *recorder) saveSentAlerts(ctx context.Context) {
	sent := r.writer.Sent
	if r.outbox == nil || !sent.IsUnsaved() {
		return
	}
	r.sentTried = time.Now()
	at, err := r.outbox.StatusPosition(ctx)
	if err == nil {
		err = sent.Save(r.sentFile, at, r.writer.Source)
	}
	if err != nil && !r.sentFailed {
		r.log.Warn("which alerts are published cannot be saved: it is tried again every minute", "file", r.sentFile, "err", err)
	}
	r.sentFailed = err != nil
}

// publishGroup publishes the next group of what waits.
func (r *recorder) publishGroup(ctx context.Context) error {
	defer func() { r.numbers.Store(r.writer.Source.LastSequence()) }()
	records, dropped := r.backlog.takeGroup()
	if dropped > 0 {
		r.dropped.Add(uint64(dropped))
		r.log.Error("keep-alive events dropped: publishing does not keep up", "dropped", dropped)
	}
	if len(records) == 0 {
		return nil
	}
	err := r.publishRecords(ctx, records)
	r.backlog.reuse(records)
	return err
}

// publishMessages seals messages and publishes them, in their order.
func (r *recorder) publishMessages(ctx context.Context, messages []outbox.Message) error {
	if err := r.sealer.SealMessages(messages); err != nil {
		return err
	}
	return r.outbox.Publish(ctx, messages)
}

func (r *recorder) publishHeartbeat(ctx context.Context) error {
	if r.outbox == nil {
		return nil
	}
	status := r.status()
	if a := status.Link.Attach; a != nil {
		r.audit.RecordManagerProblem(a.Problem)
	}
	defer func() { r.numbers.Store(r.writer.Source.LastSequence()) }()
	if err := r.publishMessages(ctx, []outbox.Message{r.writer.Heartbeat(status.managerStatus())}); err != nil {
		return err
	}
	return r.will.renew(r.writer, r.sealer, &status)
}

// publishRecords publishes a group of records. What is no routine is numbered first, as
// it is published first: so the numbers rise in the order of publication.
func (r *recorder) publishRecords(ctx context.Context, group []message.Record) error {
	var messages []outbox.Message
	for i := range group {
		r.audit.RecordDecision(&group[i])
		if !group[i].IsRoutine() {
			r.statusLog.logRecord(&group[i])
			messages = r.writer.AppendRecord(messages, &group[i])
		}
	}
	if r.outbox == nil {
		return nil
	}
	for i := range group {
		if group[i].IsRoutine() && r.publishesKeepAlive(group[i].Verdict) {
			messages = r.writer.AppendRecord(messages, &group[i])
		}
	}
	if err := r.publishMessages(ctx, messages); err != nil {
		r.audit.RecordUnpublished(len(messages), err)
		return fmt.Errorf("record %d decisions: %w", len(group), err)
	}
	for i := range group {
		if group[i].Stored != nil {
			group[i].Stored()
		}
	}
	return nil
}

// publishesKeepAlive reports whether the settings want a message for a decision about a
// keep-alive.
func (r *recorder) publishesKeepAlive(v detector.Verdict) bool {
	switch r.keepAlives {
	case "none":
		return false
	case "failed":
		return v == detector.Failed
	}
	return true
}

// statusLogBurst is how many status changes a second are logged one by one. When
// a network goes down, NATS has a message for every agent; the log says
// how many there were.
const statusLogBurst = 20

// statusLogger logs status changes for the person who reads the log. It is for one
// goroutine.
type statusLogger struct {
	log    *slog.Logger
	second int64
	logged int
	silent int
}

// logSkipped logs how many changes were not logged. A storm may be over before
// the next change, so it is also called from time to time.
func (l *statusLogger) logSkipped() {
	if l.silent > 0 {
		l.log.Warn("more status changes than are logged", "not_logged", l.silent)
		l.silent = 0
	}
}

// logRecord logs a record that is no routine.
func (l *statusLogger) logRecord(r *message.Record) {
	if r.Alert != nil {
		l.logClusterAlert(r.Alert)
		return
	}
	l.logDecision(&r.Decision)
}

// logClusterAlert logs an alert about a node, or about an agent that is on several.
func (l *statusLogger) logClusterAlert(a *message.ClusterAlert) {
	switch {
	case a.Lost != nil:
		l.log.Error("a node of the cluster is lost", "node", a.Lost.Node, "agents", a.Lost.Agents, "since", a.Lost.SinceTime(), "manager", string(a.Lost.Manager))
	case a.Back != nil:
		l.log.Warn("this node is back in the cluster", "node", a.Back.Node, "agents", a.Back.Agents)
	default:
		d := a.Duplicated
		if !l.mayLog() {
			return
		}
		attrs := []any{"id", d.AgentID, "name", d.AgentName}
		for _, m := range d.Machines {
			attrs = append(attrs, "at", m.IPAddress, "node", m.Node)
		}
		l.log.Warn("two machines have the key of one agent", attrs...)
	}
}

// logDecision logs a decision that is no routine.
func (l *statusLogger) logDecision(d *detector.Decision) {
	switch d.Verdict {
	case detector.Changed:
		l.logChange(d)
	case detector.Escalated:
		if l.mayLog() {
			l.log.Warn("agent still away", append(attrsOfChange(d), "for", d.AwayFor.String())...)
		}
	case detector.Flapping:
		l.log.Warn("agent flapping: its alerts are held until it is stable", "id", d.ID.String(), "name", d.Name, "ip", d.IP, "status_changes", d.Changes)
	case detector.OutageBegan:
		l.log.Error("fleet outage: alerts of single agents are held while it lasts", "lost", d.Fleet.Lost, "watched", d.Fleet.Watched,
			"connections_closed", d.Fleet.Closed, "fell_silent", d.Fleet.Silent)
	case detector.OutageEnded:
		l.log.Warn("fleet recovered", "lost", d.Fleet.Lost, "back", d.Fleet.Back)
	case detector.Resumed:
		l.log.Warn("pulse itself was stopped or starved: every deadline moves by that much", "for", d.Pause.Round(time.Millisecond).String())
	}
}

// mayLog reports whether there is room for one more line about an agent in this second.
func (l *statusLogger) mayLog() bool {
	if now := time.Now().Unix(); now != l.second {
		l.logSkipped()
		l.second, l.logged = now, 0
	}
	if l.logged++; l.logged > statusLogBurst {
		l.silent++
		return false
	}
	return true
}

func (l *statusLogger) logChange(d *detector.Decision) {
	if !l.mayLog() {
		return
	}
	level := slog.LevelInfo
	if d.To == detector.Disconnected && d.Reason != detector.AgentShutdown {
		level = slog.LevelWarn
	}
	attrs := append(attrsOfChange(d), "was", d.From.String())
	if d.Changes > 0 {
		attrs = append(attrs, "status_changes", d.Changes)
	}
	l.log.Log(context.Background(), level, "agent "+d.To.String(), attrs...)
}

func attrsOfChange(d *detector.Decision) []any {
	attrs := []any{"id", d.ID.String(), "name", d.Name, "ip", d.IP, "reason", d.Reason.String(), "missed", d.Missed}
	if d.Reason.IsLoss() {
		attrs = append(attrs, "host", d.Host.String())
	}
	if d.Silenced {
		attrs = append(attrs, "silenced", true)
	}
	return attrs
}
