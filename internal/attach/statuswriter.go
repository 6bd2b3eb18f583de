package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// clusterHold is how long a loss waits in a cluster before it is written, if all that is
	// known are rows: the master has within 20 s that an agent has moved to another node, and
	// later if a round is refused.
	clusterHold = 30 * time.Second
	// sharedHold is the same where the nodes share who has an agent.
	sharedHold = time.Second
	// syncDelay is how much later than an agent's keep-alive the master's row may have one,
	// which has the time at which the worker's round was taken over.
	syncDelay = 20 * time.Second
	// returnTimeout is how long remoted may take to mark an agent that is back.
	returnTimeout = time.Minute
	// writerTick is how often the writer looks for tasks that are due.
	writerTick = 100 * time.Millisecond
	// maxTasksPerTick is how many losses are written per tick at most.
	maxTasksPerTick = 20
	// alertRetry is the time to the next try with an analysisd that took no event.
	alertRetry = time.Second
	// recheckDelay is the time after which an agent has been probed whose row has a sign
	// of life since its loss.
	recheckDelay = 5 * time.Second
	// rowRetry is the time to the next try with a row that could not be used.
	rowRetry = 10 * time.Second
	// finishTimeout is how long a loss may take to be written when Pulse ends meanwhile,
	// so that none is in the database without its alert.
	finishTimeout = 2 * time.Second
)

// statusWriter writes losses into the manager's database and raises the alert that
// Wazuh's own monitord would raise, up to half an hour later. It writes each loss
// once, and none that the database contradicts. The alert is raised once for each loss
// that was written: at once, or when the detector releases what it holds.
type statusWriter struct {
	db     *wazuhdb.Client
	role   wazuhdb.ClusterRole
	shared SharedView       // nil if the nodes of a cluster share nothing
	queue  *wazuhsock.Queue // analysisd's; runWriter's

	grace, timeout, recheckAfter time.Duration

	log        *slog.Logger
	conditions *conditions
	absences   *absences
	index      *agentIndex
	passive    *passiveAgents
	hasAlerts  bool // the manager raises one for a loss: not that of Wazuh 5

	unconfirmed map[detector.AgentID]task // whose writing had no answer; runWriter's

	mu                sync.Mutex
	tasks             map[detector.AgentID]task
	held              map[detector.AgentID]string // losses whose alert is held, by the detector's decision; with the alert once the loss is written
	alertsPausedUntil time.Time                   // after analysisd took no event

	written, contradicted, marked, alerts, unmarked atomic.Int64
}

func newStatusWriter(db *wazuhdb.Client, home wazuhsock.Home, absences *absences, cfg *Config, conditions *conditions) *statusWriter {
	return &statusWriter{db: db, role: cfg.Cluster, shared: cfg.Shared, queue: wazuhsock.NewQueue(home.Path(wazuhsock.AnalysisQueue)), grace: cfg.Grace, timeout: cfg.Timeout,
		recheckAfter: recheckDelay, log: cfg.Log, conditions: conditions, absences: absences, index: new(agentIndex), passive: newPassiveAgents(home, cfg.Cluster), hasAlerts: !home.IsWazuh5(),
		tasks: make(map[detector.AgentID]task), held: make(map[detector.AgentID]string), unconfirmed: make(map[detector.AgentID]task)}
}

// runWriter performs the tasks that are due until ctx ends.
func (s *statusWriter) runWriter(ctx context.Context) {
	tick := time.NewTicker(writerTick)
	defer tick.Stop()
	defer s.queue.Close()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for id, t := range s.listDueTasks(time.Now()) {
			if !s.performTask(ctx, id, t) || ctx.Err() != nil {
				break
			}
		}
	}
}

// performTask performs a task, and reports whether wazuh-db answers, for the next one.
// What is written gets its alert, also if ctx ends, unless that is held.
func (s *statusWriter) performTask(ctx context.Context, id detector.AgentID, t task) bool {
	if t.alert == "" {
		done, line, err := s.updateStatus(ctx, id, t)
		if err != nil {
			return false // the dbReader sets the condition
		}
		if !done {
			return true
		}
		var isDue bool
		if t, isDue = s.keepAlert(id, t, line); !isDue {
			return true
		}
	}
	if s.raiseAnalysisdAlert(t.alert) {
		s.finishTask(id, t)
	}
	return true
}

// updateStatus reads the agent's row, and writes what it does not contradict. It returns
// the alert to be raised, if there is one.
func (s *statusWriter) updateStatus(ctx context.Context, id detector.AgentID, t task) (done bool, alert string, err error) {
	schema, err := s.db.ReadSchema(ctx)
	if err != nil {
		return false, "", err
	}
	r, err := s.db.ReadAgent(ctx, id)
	switch {
	case wazuhdb.IsRowError(err): // it is this row, and not wazuh-db
		s.retryTask(id, t, "a lost agent's row cannot be read: its loss is written when it can", err)
		return true, "", nil
	case errors.Is(err, wazuhdb.ErrRowUnusable):
		s.retryTask(id, t, "a lost agent's row makes no sense: its loss is written when it does", err)
		return true, "", nil
	case err != nil:
		return false, "", err
	case r == nil:
		return true, "", nil // removed, or moved to another node
	}
	switch {
	case t.checksReturn:
		if r.Status == wazuhdb.StatusDisconnected {
			s.unmarked.Add(1)
			s.log.Warn("an agent is back, and the manager still calls it disconnected", "id", id.String(), "name", r.Name)
		}
		return true, "", nil
	case r.Status == wazuhdb.StatusDisconnected && schema.IsLossCode(r.Code) && s.unconfirmed[id] == t:
		return true, s.countWrittenLoss(id, r), nil
	case t.released && r.Status == wazuhdb.StatusDisconnected && schema.IsLossCode(r.Code):
		return true, s.formatAlert(id, r), nil
	case !r.IsConnected() && !isResetByRestart(r):
		s.marked.Add(1) // by remoted or monitord, before us
		return true, "", nil
	case r.Passive != 0 && s.passive.isHeld():
		s.delayTask(id, t, passiveRecheck)
		return true, "", nil
	case s.isContradicted(id, r, t):
		s.postponeTask(id, t, time.Unix(r.KeepAlive, 0))
		return true, "", nil
	case s.role.IsMaster() && r.Status == wazuhdb.StatusPending && !t.pending:
		s.postponePending(id, t)
		return true, "", nil
	}
	return s.writeLossToDatabase(ctx, id, r, t)
}

// isContradicted reports whether the row has a sign of life after the agent's last one that
// is known. In a cluster it may be from another node, to which the agent has a connection.
func (s *statusWriter) isContradicted(id detector.AgentID, r *wazuhdb.Row, t task) bool {
	after := t.seen
	if t.foreign {
		after = after.Add(syncDelay)
	}
	return hasLaterSign(r, after) && (s.role.IsMaster() || !s.absences.isUnconnectedSince(id, r.KeepAlive))
}

// isResetByRestart reports whether the row's agent is disconnected only because remoted
// was restarted. monitord skips such a row: it writes no loss there, and raises no alert.
func isResetByRestart(r *wazuhdb.Row) bool {
	return r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeReset
}

// hasLaterSign reports whether the row has a sign of life after a time. Its times are
// whole seconds, rounded down; the detector's come from there, by a clock that is read to
// the nanosecond.
func hasLaterSign(r *wazuhdb.Row, after time.Time) bool {
	const rounding = 10 * time.Millisecond
	return r.KeepAlive > after.Add(rounding).Unix()
}

func (s *statusWriter) writeLossToDatabase(ctx context.Context, id detector.AgentID, r *wazuhdb.Row, t task) (done bool, alert string, err error) {
	if !s.isCurrentTask(id, t) {
		return true, "", nil // it came back while its row was read
	}
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishTimeout, cancel) })()
	err = s.db.SetDisconnected(last, id)
	if refused, ok := errors.AsType[wazuhdb.RefusedError](err); ok {
		s.retryTask(id, t, "a lost agent's status is not taken: it is tried again", refused)
		return true, "", nil
	}
	if err != nil {
		s.unconfirmed[id] = t // its row will show whether it was done
		return false, "", err
	}
	return true, s.countWrittenLoss(id, r), nil
}

// countWrittenLoss counts a loss that is in the database by now, and returns its alert.
func (s *statusWriter) countWrittenLoss(id detector.AgentID, r *wazuhdb.Row) string {
	delete(s.unconfirmed, id)
	s.written.Add(1)
	return s.formatAlert(id, r)
}

// formatAlert returns the event for the alert of a loss; empty if the manager has none.
func (s *statusWriter) formatAlert(id detector.AgentID, r *wazuhdb.Row) string {
	if !s.hasAlerts {
		return ""
	}
	return formatDisconnectedAlert(id, r.Name, r.Registered)
}

// formatDisconnectedAlert returns the event that makes analysisd raise rule 504, in monitord's words.
// A name or address from the database could contain anything.
func formatDisconnectedAlert(id detector.AgentID, name, registered string) string {
	name, registered = printable.Brief(name, maxAlertText), printable.Brief(registered, maxAlertText)
	return wazuhsock.FormatEvent(fmt.Sprintf("[%s] (%s) %s->wazuh-monitord", id, name, registered),
		fmt.Sprintf("ossec: Agent disconnected: '%s-%s'.", name, registered))
}

// maxAlertText is how many characters a name has in an alert at most, which is more than
// Wazuh lets it have.
const maxAlertText = 256

func (s *statusWriter) areAlertsPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alertsPausedUntil.After(time.Now())
}

// raiseAnalysisdAlert sends analysisd an event, and reports whether it took it.
func (s *statusWriter) raiseAnalysisdAlert(line string) bool {
	if s.areAlertsPaused() {
		return false
	}
	err := s.queue.Send(line)
	if err != nil {
		s.mu.Lock()
		s.alertsPausedUntil = time.Now().Add(alertRetry)
		s.mu.Unlock()
		err = wazuhsock.ExplainError(err, "wazuh-analysisd", s.queue.SocketPath())
	} else {
		s.alerts.Add(1)
	}
	s.conditions.setDaemonCondition("wazuh-analysisd", err)
	return err == nil
}
