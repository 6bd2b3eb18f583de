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
	// returnTime is how long remoted may take to mark an agent that is back.
	returnTime = time.Minute
	// scribeTick is the time between two looks at what is due.
	scribeTick = 100 * time.Millisecond
	// scribePace is how many losses are written per tick at most.
	scribePace = 20
	// deafTime is the time to the next try with an analysisd that took no event.
	deafTime = time.Second
	// secondLook is the time after which an agent that the row knows to have been there
	// since its loss has been asked.
	secondLook = 5 * time.Second
	// delayTime is the time to the next try with a row that could not be used.
	delayTime = 10 * time.Second
	// lastWord is how long a loss may take to be written when Pulse ends meanwhile:
	// half of it would be a loss in the database without its alert.
	lastWord = 2 * time.Second
)

// scribe writes losses into the manager's database and raises the alert that
// Wazuh's own monitord would raise, up to half an hour later. It writes each loss
// once, and none that the database contradicts.
type scribe struct {
	db    *wazuhdb.Client
	place wazuhdb.ClusterRole
	queue *wazuhsock.Queue // analysisd's; run's

	grace, timeout, secondLook time.Duration

	log   *slog.Logger
	said  *troubles
	clock *detector.Clock
	dead  func(id detector.AgentID, second int64) bool // remoted had no connection to the agent after a second

	tried map[detector.AgentID]errand // whose writing had no answer; run's

	mu   sync.Mutex
	todo map[detector.AgentID]errand
	deaf time.Time // until when analysisd is left alone

	written, contradicted, marked, alerts, unmarked atomic.Int64
}

// errand is something to be done about an agent.
type errand struct {
	due  time.Time
	back bool      // look whether remoted has marked its return
	lost time.Time // else write its loss, of this time
	seen time.Time // when it was there last, for all that was known then
	line string    // the alert of a loss that is written

	delayed      bool // its row could not be used; that is logged
	contradicted bool // its row knows of a later sign of life; that is counted
}

// heed takes a status change. A later one of the same agent takes the place of
// what was to be done because of the former.
func (s *scribe) heed(d *detector.Decision) {
	now := time.Now()
	lost := s.clock.Time(d.At)
	e := errand{due: now, lost: lost, seen: lost}
	switch {
	case d.To == detector.Disconnected && d.Reason.IsLoss():
		if d.Reason == detector.ConnectionLost {
			e.seen = lost.Add(-s.grace)
		} else if d.Seen {
			e.seen = s.clock.Time(d.LastSeen)
		}
		if s.place.Clustered() {
			e.due = now.Add(clusterHold)
		}
	case d.To == detector.Active && d.From == detector.Disconnected:
		e = errand{due: now.Add(returnTime), back: true}
	default:
		e.due = time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.due.IsZero() {
		delete(s.todo, d.ID)
	} else {
		s.todo[d.ID] = e
	}
}

// run does what is due until ctx ends.
func (s *scribe) run(ctx context.Context) {
	tick := time.NewTicker(scribeTick)
	defer tick.Stop()
	defer s.queue.Close()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for id, e := range s.due(time.Now()) {
			if !s.settle(ctx, id, e) || ctx.Err() != nil {
				break
			}
		}
	}
}

// settle does an errand, and reports whether wazuh-db is there for the next. What
// is written is finished with its alert, also if ctx ends.
func (s *scribe) settle(ctx context.Context, id detector.AgentID, e errand) bool {
	if e.line == "" {
		done, line, err := s.do(ctx, id, e)
		if err != nil {
			return false // the watch says so
		}
		if !done {
			return true
		}
		if line == "" {
			s.finish(id, e)
			return true
		}
		e = s.pend(id, e, line)
	}
	if s.raise(e.line) {
		s.finish(id, e)
	}
	return true
}

// pend leaves of an errand that its alert is to be raised, unless there is
// another one by now.
func (s *scribe) pend(id detector.AgentID, e errand, line string) errand {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := e
	e.line = line
	if s.todo[id] == was {
		s.todo[id] = e
	}
	return e
}

// due returns what is due, at most the pace's number. Alerts wait while nobody
// takes them.
func (s *scribe) due(now time.Time) map[detector.AgentID]errand {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := make(map[detector.AgentID]errand)
	for id, e := range s.todo {
		if !e.due.After(now) && (e.line == "" || !s.deaf.After(now)) {
			if due[id] = e; len(due) == scribePace {
				break
			}
		}
	}
	return due
}

// finish takes an errand off the list, unless there is another one by now.
func (s *scribe) finish(id detector.AgentID, e errand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.todo[id] == e {
		delete(s.todo, id)
	}
}

// do reads the agent's row, and writes what it does not contradict. It returns
// the alert to be raised, if there is one.
func (s *scribe) do(ctx context.Context, id detector.AgentID, e errand) (done bool, alert string, err error) {
	schema, err := s.db.Schema(ctx)
	if err != nil {
		return false, "", err
	}
	r, err := s.db.ReadAgent(ctx, id)
	switch {
	case wazuhdb.IsRowError(err): // it is this row, and not wazuh-db
		s.delay(id, e, "a lost agent's row cannot be read: its loss is written when it can", err)
		return true, "", nil
	case errors.Is(err, wazuhdb.ErrRowUnusable):
		s.delay(id, e, "a lost agent's row makes no sense: its loss is written when it does", err)
		return true, "", nil
	case err != nil:
		return false, "", err
	case r == nil:
		return true, "", nil // removed, or moved to another node
	}
	switch {
	case e.back:
		if r.Status == wazuhdb.StatusDisconnected {
			s.unmarked.Add(1)
			s.log.Warn("an agent is back, and the manager still calls it disconnected", "id", id.String(), "name", r.Name)
		}
		return true, "", nil
	case r.Status == wazuhdb.StatusDisconnected && schema.IsLossCode(r.Code) && s.tried[id] == e:
		return true, s.wrote(id, r), nil
	case !r.IsConnected() && !wasReset(r):
		s.marked.Add(1) // by remoted or monitord, before us
		return true, "", nil
	case contradicts(r, e.seen) && !s.dead(id, r.KeepAlive):
		s.postpone(id, e, time.Unix(r.KeepAlive, 0))
		return true, "", nil
	}
	return s.write(ctx, id, r, e)
}

// wasReset reports whether the row's agent is disconnected only because remoted was
// started anew. Nobody else writes a loss into such a row, or raises an alert: monitord
// passes it over.
func wasReset(r *wazuhdb.Row) bool {
	return r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeReset
}

// contradicts reports whether the row knows of a sign of life after a time. Its
// times are whole seconds, cut off; the detector's come from there, over a clock that
// is read to the nanosecond.
func contradicts(r *wazuhdb.Row, after time.Time) bool {
	const rounding = 10 * time.Millisecond
	return r.KeepAlive > after.Add(rounding).Unix()
}

// postpone looks again at an agent that was there later than was known when it was given
// up: first when it was time to ask it, as a keep-alive that waited for wazuh-db is written
// down late, and then when it has been silent for a whole timeout.
func (s *scribe) postpone(id detector.AgentID, e errand, seen time.Time) {
	later := errand{due: seen.Add(s.timeout), lost: e.lost, seen: seen, delayed: e.delayed, contradicted: true}
	if !e.contradicted {
		s.contradicted.Add(1)
		later.due, later.seen = time.Now().Add(s.secondLook), e.seen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.todo[id] == e {
		s.todo[id] = later
	}
}

// delay tries an errand again later that came to nothing because of this agent's row
// alone, and logs why when it does so for the first time.
func (s *scribe) delay(id detector.AgentID, e errand, text string, err error) {
	if !e.delayed {
		s.log.Error(text, "id", id.String(), "problem", err.Error())
	}
	later := e
	later.due, later.delayed = time.Now().Add(delayTime), true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.todo[id] == e {
		s.todo[id] = later
	}
	if s.tried[id] == e {
		s.tried[id] = later
	}
}

// write says in the database that the agent is disconnected.
func (s *scribe) write(ctx context.Context, id detector.AgentID, r *wazuhdb.Row, e errand) (done bool, alert string, err error) {
	if !s.current(id, e) {
		return true, "", nil // it came back while its row was read
	}
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, cancel) })()
	err = s.db.SetDisconnected(last, id)
	if refused, ok := errors.AsType[wazuhdb.RefusedError](err); ok {
		s.delay(id, e, "a lost agent's status is not taken: it is tried again", refused)
		return true, "", nil
	}
	if err != nil {
		s.tried[id] = e // whether it was done, its row will tell
		return false, "", err
	}
	return true, s.wrote(id, r), nil
}

// wrote counts a loss that is in the database by now, and returns its alert.
func (s *scribe) wrote(id detector.AgentID, r *wazuhdb.Row) string {
	delete(s.tried, id)
	s.written.Add(1)
	return disconnected(id, r.Name, r.Registered)
}

func (s *scribe) current(id detector.AgentID, e errand) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.todo[id] == e
}

// disconnected is the event that makes analysisd raise rule 504, in monitord's words.
func disconnected(id detector.AgentID, name, registered string) string {
	return fmt.Sprintf("1:[%s] (%s) %s->wazuh-monitord:ossec: Agent disconnected: '%s-%s'.", id, name, strings.ReplaceAll(registered, ":", "|:"), name, registered)
}

func (s *scribe) isDeaf() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deaf.After(time.Now())
}

// raise sends analysisd an event, and reports whether it took it.
func (s *scribe) raise(line string) bool {
	if s.isDeaf() {
		return false
	}
	err := s.queue.Send(line)
	if err != nil {
		s.mu.Lock()
		s.deaf = time.Now().Add(deafTime)
		s.mu.Unlock()
		err = wazuhsock.Explain(err, "wazuh-analysisd", s.queue.Path())
	} else {
		s.alerts.Add(1)
	}
	s.said.set("wazuh-analysisd", err)
	return err == nil
}
