package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// clusterHold is how long a loss waits in a cluster before it is written: the
	// master hears within 10 s that an agent has moved to another node.
	clusterHold = 20 * time.Second
	// returnTimeout is how long remoted may take to mark an agent that is back.
	returnTimeout = time.Minute
	// writerTick is the time between two looks at what is due.
	writerTick = 100 * time.Millisecond
	// maxTasksPerTick is how many losses are written per tick at most.
	maxTasksPerTick = 20
	// alertRetry is the time to the next try with an analysisd that took no event.
	alertRetry = time.Second
	// recheckDelay is the time after which an agent that the row knows to have been there
	// since its loss has been asked.
	recheckDelay = 5 * time.Second
	// rowRetry is the time to the next try with a row that could not be used.
	rowRetry = 10 * time.Second
	// finishTimeout is how long a loss may take to be written when Pulse ends meanwhile:
	// half of it would be a loss in the database without its alert.
	finishTimeout = 2 * time.Second
)

// statusWriter writes losses into the manager's database and raises the alert that
// Wazuh's own monitord would raise, up to half an hour later. It writes each loss
// once, and none that the database contradicts.
type statusWriter struct {
	db    *wazuhdb.Client
	role  wazuhdb.ClusterRole
	queue *wazuhsock.Queue // analysisd's; run's

	grace, timeout, recheckAfter time.Duration

	log        *slog.Logger
	conditions *conditions
	clock      *detector.Clock
	absences   *absences

	unconfirmed map[detector.AgentID]task // whose writing had no answer; run's

	mu                sync.Mutex
	tasks             map[detector.AgentID]task
	alertsPausedUntil time.Time // until when analysisd is left alone

	written, contradicted, marked, alerts, unmarked atomic.Int64
}

// task is something to be done about an agent.
type task struct {
	due          time.Time
	checksReturn bool      // look whether remoted has marked its return
	lost         time.Time // else write its loss, of this time
	seen         time.Time // when it was there last, for all that was known then
	alert        string    // the alert of a loss that is written

	delayed      bool // its row could not be used; that is logged
	contradicted bool // its row knows of a later sign of life; that is counted
}

func newStatusWriter(db *wazuhdb.Client, home wazuhsock.Home, absences *absences, cfg *Config, conditions *conditions) *statusWriter {
	return &statusWriter{db: db, role: cfg.Cluster, queue: wazuhsock.NewQueue(home.Path(wazuhsock.AnalysisQueue)), grace: cfg.Grace, timeout: cfg.Timeout,
		recheckAfter: recheckDelay, log: cfg.Log, conditions: conditions, clock: cfg.Clock, absences: absences,
		tasks: make(map[detector.AgentID]task), unconfirmed: make(map[detector.AgentID]task)}
}

// addTask takes a status change. A later one of the same agent takes the place of
// what was to be done because of the former.
func (s *statusWriter) addTask(d *detector.Decision) {
	now := time.Now()
	lost := s.clock.Time(d.At)
	e := task{due: now, lost: lost, seen: lost}
	switch {
	case d.To == detector.Disconnected && d.Reason.IsLoss():
		if d.Reason == detector.ConnectionLost {
			e.seen = lost.Add(-s.grace)
		} else if d.Seen {
			e.seen = s.clock.Time(d.LastSeen)
		}
		if s.role.Clustered() {
			e.due = now.Add(clusterHold)
		}
	case d.To == detector.Active && d.From == detector.Disconnected:
		e = task{due: now.Add(returnTimeout), checksReturn: true}
	default:
		e.due = time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.due.IsZero() {
		delete(s.tasks, d.ID)
	} else {
		s.tasks[d.ID] = e
	}
}

// runWriter does what is due until ctx ends.
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
		for id, e := range s.listDueTasks(time.Now()) {
			if !s.performTask(ctx, id, e) || ctx.Err() != nil {
				break
			}
		}
	}
}

// performTask does an errand, and reports whether wazuh-db is there for the next. What
// is written is finished with its alert, also if ctx ends.
func (s *statusWriter) performTask(ctx context.Context, id detector.AgentID, e task) bool {
	if e.alert == "" {
		done, line, err := s.updateStatus(ctx, id, e)
		if err != nil {
			return false // the watch says so
		}
		if !done {
			return true
		}
		if line == "" {
			s.finishTask(id, e)
			return true
		}
		e = s.keepAlert(id, e, line)
	}
	if s.raiseAlert(e.alert) {
		s.finishTask(id, e)
	}
	return true
}

// keepAlert leaves of an errand that its alert is to be raised, unless there is
// another one by now.
func (s *statusWriter) keepAlert(id detector.AgentID, e task, line string) task {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := e
	e.alert = line
	if s.tasks[id] == was {
		s.tasks[id] = e
	}
	return e
}

// listDueTasks returns what is due, at most the pace's number. Alerts wait while nobody
// takes them.
func (s *statusWriter) listDueTasks(now time.Time) map[detector.AgentID]task {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := make(map[detector.AgentID]task)
	for id, e := range s.tasks {
		if !e.due.After(now) && (e.alert == "" || !s.alertsPausedUntil.After(now)) {
			if due[id] = e; len(due) == maxTasksPerTick {
				break
			}
		}
	}
	return due
}

// finishTask takes an errand off the list, unless there is another one by now.
func (s *statusWriter) finishTask(id detector.AgentID, e task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == e {
		delete(s.tasks, id)
	}
}

// updateStatus reads the agent's row, and writes what it does not contradict. It returns
// the alert to be raised, if there is one.
func (s *statusWriter) updateStatus(ctx context.Context, id detector.AgentID, e task) (done bool, alert string, err error) {
	schema, err := s.db.Schema(ctx)
	if err != nil {
		return false, "", err
	}
	r, err := s.db.ReadAgent(ctx, id)
	switch {
	case wazuhdb.IsRowError(err): // it is this row, and not wazuh-db
		s.retryTask(id, e, "a lost agent's row cannot be read: its loss is written when it can", err)
		return true, "", nil
	case errors.Is(err, wazuhdb.ErrRowUnusable):
		s.retryTask(id, e, "a lost agent's row makes no sense: its loss is written when it does", err)
		return true, "", nil
	case err != nil:
		return false, "", err
	case r == nil:
		return true, "", nil // removed, or moved to another node
	}
	switch {
	case e.checksReturn:
		if r.Status == wazuhdb.StatusDisconnected {
			s.unmarked.Add(1)
			s.log.Warn("an agent is back, and the manager still calls it disconnected", "id", id.String(), "name", r.Name)
		}
		return true, "", nil
	case r.Status == wazuhdb.StatusDisconnected && schema.IsLossCode(r.Code) && s.unconfirmed[id] == e:
		return true, s.countWrittenLoss(id, r), nil
	case !r.IsConnected() && !isResetByRestart(r):
		s.marked.Add(1) // by remoted or monitord, before us
		return true, "", nil
	case hasLaterSign(r, e.seen) && !s.absences.isUnconnectedSince(id, r.KeepAlive):
		s.postponeTask(id, e, time.Unix(r.KeepAlive, 0))
		return true, "", nil
	}
	return s.writeLoss(ctx, id, r, e)
}

// isResetByRestart reports whether the row's agent is disconnected only because remoted was
// started anew. Nobody else writes a loss into such a row, or raises an alert: monitord
// passes it over.
func isResetByRestart(r *wazuhdb.Row) bool {
	return r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeReset
}

// hasLaterSign reports whether the row knows of a sign of life after a time. Its
// times are whole seconds, cut off; the detector's come from there, over a clock that
// is read to the nanosecond.
func hasLaterSign(r *wazuhdb.Row, after time.Time) bool {
	const rounding = 10 * time.Millisecond
	return r.KeepAlive > after.Add(rounding).Unix()
}

// postponeTask looks again at an agent that was there later than was known when it was given
// up: first when it was time to ask it, as a keep-alive that waited for wazuh-db is written
// down late, and then when it has been silent for a whole timeout.
func (s *statusWriter) postponeTask(id detector.AgentID, e task, seen time.Time) {
	later := task{due: seen.Add(s.timeout), lost: e.lost, seen: seen, delayed: e.delayed, contradicted: true}
	if !e.contradicted {
		s.contradicted.Add(1)
		later.due, later.seen = time.Now().Add(s.recheckAfter), e.seen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == e {
		s.tasks[id] = later
	}
}

// retryTask tries an errand again later that came to nothing because of this agent's row
// alone, and logs why when it does so for the first time.
func (s *statusWriter) retryTask(id detector.AgentID, e task, text string, err error) {
	if !e.delayed {
		s.log.Error(text, "id", id.String(), "err", err)
	}
	later := e
	later.due, later.delayed = time.Now().Add(rowRetry), true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == e {
		s.tasks[id] = later
	}
	if s.unconfirmed[id] == e {
		s.unconfirmed[id] = later
	}
}

// writeLoss says in the database that the agent is disconnected.
func (s *statusWriter) writeLoss(ctx context.Context, id detector.AgentID, r *wazuhdb.Row, e task) (done bool, alert string, err error) {
	if !s.isCurrentTask(id, e) {
		return true, "", nil // it came back while its row was read
	}
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishTimeout, cancel) })()
	err = s.db.SetDisconnected(last, id)
	if refused, ok := errors.AsType[wazuhdb.RefusedError](err); ok {
		s.retryTask(id, e, "a lost agent's status is not taken: it is tried again", refused)
		return true, "", nil
	}
	if err != nil {
		s.unconfirmed[id] = e // whether it was done, its row will tell
		return false, "", err
	}
	return true, s.countWrittenLoss(id, r), nil
}

// countWrittenLoss counts a loss that is in the database by now, and returns its alert.
func (s *statusWriter) countWrittenLoss(id detector.AgentID, r *wazuhdb.Row) string {
	delete(s.unconfirmed, id)
	s.written.Add(1)
	return formatAlert(id, r.Name, r.Registered)
}

func (s *statusWriter) isCurrentTask(id detector.AgentID, e task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id] == e
}

// formatAlert is the event that makes analysisd raise rule 504, in monitord's words.
func formatAlert(id detector.AgentID, name, registered string) string {
	return fmt.Sprintf("1:[%s] (%s) %s->wazuh-monitord:ossec: Agent disconnected: '%s-%s'.", id, name, strings.ReplaceAll(registered, ":", "|:"), name, registered)
}

func (s *statusWriter) areAlertsPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alertsPausedUntil.After(time.Now())
}

// raiseAlert sends analysisd an event, and reports whether it took it.
func (s *statusWriter) raiseAlert(line string) bool {
	if s.areAlertsPaused() {
		return false
	}
	err := s.queue.Send(line)
	if err != nil {
		s.mu.Lock()
		s.alertsPausedUntil = time.Now().Add(alertRetry)
		s.mu.Unlock()
		err = wazuhsock.Explain(err, "wazuh-analysisd", s.queue.Path())
	} else {
		s.alerts.Add(1)
	}
	s.conditions.setCondition("wazuh-analysisd", err)
	return err == nil
}
