package attach

import (
	"cmp"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// task is something to be done about an agent.
type task struct {
	due          time.Time
	checksReturn bool      // check whether remoted has marked its return
	lost         time.Time // else write its loss, of this time
	seen         time.Time // its last sign of life, as far as was known then
	alert        string    // the alert of a loss that is written
	released     bool      // the alert was held by an earlier run, and is due: raise it also if the loss is written
	foreign      bool      // it is the loss of an agent of another node

	delayed      bool // its row could not be used; that is logged
	contradicted bool // its row has a later sign of life; that is counted
	pending      bool // its row was pending when the loss was to be written
}

// addStatusTask adds what is to be done because of a status change. It replaces the agent's
// former task.
func (s *statusWriter) addStatusTask(d *detector.Decision) {
	now := time.Now()
	lost := d.Time
	t := task{due: now, lost: lost, seen: lost}
	switch {
	case d.To == detector.Disconnected && d.Reason.IsLoss():
		if d.Reason == detector.ConnectionLost {
			t.seen = lost.Add(-s.grace)
		} else if d.Seen {
			t.seen = d.LastSeenTime
		}
		if s.index.isPassive(d.ID) {
			t.due = now.Add(passiveRecheck)
		}
		if s.role.IsClustered() {
			t.due = now.Add(max(t.due.Sub(now), s.clusterDelay()))
		}
	case d.To == detector.Active && d.From == detector.Disconnected:
		t = task{due: now.Add(returnTimeout), checksReturn: true}
	default:
		t.due = time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.held, d.ID); d.AlertHeld {
		s.held[d.ID] = ""
	}
	if t.due.IsZero() {
		delete(s.tasks, d.ID)
	} else {
		s.tasks[d.ID] = t
	}
}

// clusterDelay returns how long a loss waits in a cluster before it is written. What the
// nodes share is known at once.
func (s *statusWriter) clusterDelay() time.Duration {
	switch {
	case s.shared != nil && s.shared.IsCurrent():
		return sharedHold
	case !s.passive.relays.mayExist():
		return 0
	}
	return clusterHold
}

// addForeignLoss adds the loss of an agent of another node. It replaces the agent's former task.
func (s *statusWriter) addForeignLoss(id detector.AgentID, at, seen time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
	s.tasks[id] = task{due: time.Now().Add(s.clusterDelay()), lost: at, seen: seen, foreign: true}
}

// cancelTask deletes what is to be done about an agent that another node has.
func (s *statusWriter) cancelTask(id detector.AgentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, id)
	delete(s.held, id)
}

// cancelForeignLoss deletes such a task.
func (s *statusWriter) cancelForeignLoss(id detector.AgentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id].foreign {
		delete(s.tasks, id)
	}
}

// keepAlert replaces a task that was performed by raising its alert, if it has one. An
// alert that is held waits without a task. What is returned is to be done now, if
// anything is.
func (s *statusWriter) keepAlert(id detector.AgentID, t task, line string) (_ task, isDue bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isCurrent := s.tasks[id] == t
	if _, isHeld := s.held[id]; isCurrent && isHeld {
		delete(s.tasks, id)
		s.held[id] = line
		return t, false
	}
	if line == "" {
		if isCurrent {
			delete(s.tasks, id)
		}
		return t, false
	}
	t.alert = line
	if isCurrent {
		s.tasks[id] = t
	}
	return t, true
}

// releaseAlert makes the alert of a loss due, if it is held. If it is the alert that is
// released, and not an absence that becomes longer, and nothing is known of the loss, an
// earlier run held it.
func (s *statusWriter) releaseAlert(d *detector.Decision) {
	if !d.Reason.IsLoss() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line, isHeld := s.held[d.ID]
	_, hasTask := s.tasks[d.ID]
	delete(s.held, d.ID)
	switch now := time.Now(); {
	case line != "":
		s.tasks[d.ID] = task{due: now, lost: d.Time, alert: line}
	case !isHeld && !hasTask && d.Verdict == detector.AlertReleased:
		s.tasks[d.ID] = task{due: now, lost: d.Time, seen: cmp.Or(d.LastSeenTime, d.Time), released: true}
	}
}

// holdWrittenAlert holds the alert of a loss that an earlier run has written.
func (s *statusWriter) holdWrittenAlert(id detector.AgentID, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, hasTask := s.tasks[id]; !hasTask {
		s.held[id] = line
	}
}

// listDueTasks returns tasks that are due, maxTasksPerTick at most. Alerts wait while
// analysisd does not take them.
func (s *statusWriter) listDueTasks(now time.Time) map[detector.AgentID]task {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := make(map[detector.AgentID]task)
	for id, t := range s.tasks {
		if !t.due.After(now) && (t.alert == "" || !s.alertsPausedUntil.After(now)) {
			if due[id] = t; len(due) == maxTasksPerTick {
				break
			}
		}
	}
	return due
}

// finishTask deletes a task, unless there is another one by now.
func (s *statusWriter) finishTask(id detector.AgentID, t task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		delete(s.tasks, id)
	}
}

// postponeTask delays the loss of an agent whose row has a later sign of life than was
// known: first until it has been probed, as a keep-alive that waited for wazuh-db is
// written late, and then until it has been silent for a whole timeout.
func (s *statusWriter) postponeTask(id detector.AgentID, t task, seen time.Time) {
	later := task{due: seen.Add(s.timeout), lost: t.lost, seen: seen, delayed: t.delayed, contradicted: true, foreign: t.foreign, pending: t.pending}
	if !t.contradicted {
		s.contradicted.Add(1)
		later.due, later.seen = time.Now().Add(s.recheckAfter), t.seen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		s.tasks[id] = later
	}
}

// postponePending delays the loss of an agent whose row is pending, which is where it starts
// anew: its first keep-alive there is in the database soon, or there is none.
func (s *statusWriter) postponePending(id detector.AgentID, t task) {
	later := t
	later.due, later.pending = time.Now().Add(clusterHold), true
	s.contradicted.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		s.tasks[id] = later
	}
}

// delayTask delays a task.
func (s *statusWriter) delayTask(id detector.AgentID, t task, d time.Duration) {
	later := t
	later.due = time.Now().Add(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		s.tasks[id] = later
	}
}

// retryTask delays a task that failed because of this agent's row alone, and logs why
// when it does so for the first time.
func (s *statusWriter) retryTask(id detector.AgentID, t task, text string, err error) {
	if !t.delayed {
		s.log.Error(text, "id", id.String(), "err", err)
	}
	later := t
	later.due, later.delayed = time.Now().Add(rowRetry), true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		s.tasks[id] = later
	}
	if s.unconfirmed[id] == t {
		s.unconfirmed[id] = later
	}
}

// isCurrentTask reports whether there is no other task for the agent by now.
func (s *statusWriter) isCurrentTask(id detector.AgentID, t task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[id] == t
}
