package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/view"
)

const (
	dayPeriod     = time.Minute
	dayPoints     = int(24 * time.Hour / dayPeriod)
	maxDayChanges = 1000 // of an agent, the last
)

// statusCounts is how many agents are in each status.
type statusCounts [4]int

// dayCounts holds the fleet's counts of the last day, a point for each minute: at its end, or
// now.
type dayCounts struct {
	mu     sync.Mutex
	last   int64 // the minute of the newest point, since 1970
	points []statusCounts
}

func minuteOf(t time.Time) int64 { return t.Unix() / int64(dayPeriod/time.Second) }

// addPoint adds the present counts.
func (d *dayCounts) addPoint(now time.Time, n statusCounts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	minute := minuteOf(now)
	if len(d.points) == 0 || minute-d.last > int64(dayPoints) {
		d.points, d.last = []statusCounts{n}, minute
		return
	}
	for ; d.last < minute; d.last++ { // several after the host was asleep
		d.points = append(d.points, d.points[len(d.points)-1])
	}
	d.points[len(d.points)-1] = n // also after the clock was set back
	if more := len(d.points) - dayPoints; more > 0 {
		d.points = slices.Delete(d.points, 0, more)
	}
}

// addPast adds the points of before: those that the changes since a time led from to the counts
// at another one.
func (d *dayCounts) addPast(changes *dayChanges, since, at time.Time, n statusCounts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.points) == 0 {
		d.points, d.last = []statusCounts{n}, minuteOf(at)
	}
	first := d.last - int64(len(d.points)) + 1
	var past []statusCounts
	for minute := minuteOf(at); minute > changes.first && minute > minuteOf(since) && minute > d.last-int64(dayPoints)+1; minute-- {
		change := changes.changeIn(minute)
		for i := range n {
			n[i] = max(n[i]-change[i], 0)
		}
		if minute-1 < first {
			past = append(past, n)
		}
	}
	slices.Reverse(past)
	d.points = append(past, d.points...)
}

// dayChanges adds up the changes of each minute.
type dayChanges struct {
	first  int64 // minute
	counts [dayPoints + 2]statusCounts
}

func (c *dayChanges) changeIn(minute int64) statusCounts {
	if at := minute - c.first; at >= 0 && at < int64(len(c.counts)) {
		return c.counts[at]
	}
	return statusCounts{}
}

func (c *dayChanges) addChange(e *history.Event) {
	at := minuteOf(e.Known) - c.first
	if e.Kind != history.Change || at < 0 || at >= int64(len(c.counts)) {
		return
	}
	c.counts[at][e.From]--
	if e.Reason != detector.AgentRemoved && e.Reason != detector.AgentMoved { // else it is in the fleet no more
		c.counts[at][e.To]++
	}
}

// restoredFleet is the fleet as the run of the node before has left it.
type restoredFleet struct {
	at     time.Time
	counts statusCounts
}

// readDay adds the counts of the day before this run of the node, from the changes on disk.
func (s *Server) readDay() {
	if s.cfg.ReadChanges == nil {
		return
	}
	n, since := s.restored.counts, s.restored.at.Add(-24*time.Hour)
	n[detector.NeverConnected] = 0
	n[detector.NeverConnected] = max(countAgents(s.cfg.Fleet.Counts().ByStatus)-countAgents(n), 0) // nothing of them is restored
	changes := &dayChanges{first: minuteOf(since)}
	from, err := s.cfg.ReadChanges(s.ctx, since, nil, changes.addChange)
	if err != nil {
		if s.ctx.Err() == nil {
			s.cfg.Log.Warn("the changes of the last day cannot be read: the dashboard's day begins now", "err", err)
		}
		return
	}
	s.day.addPast(changes, from, s.restored.at, n)
}

func countAgents(n statusCounts) int { return n[0] + n[1] + n[2] + n[3] }

// FleetDay is the fleet over the last day, as /api/v1/day has it.
type FleetDay struct {
	Node   string         `json:"node"`
	From   time.Time      `json:"from"`     // of the first point
	Period float64        `json:"period_s"` // between two points
	Points []statusCounts `json:"points"`   // oldest first: active, disconnected, pending, never connected
}

func (s *Server) handleFleetDay(w http.ResponseWriter, _ *http.Request) {
	s.day.addPoint(time.Now(), s.cfg.Fleet.Counts().ByStatus)
	s.day.mu.Lock()
	points := slices.Clone(s.day.points)
	first := s.day.last - int64(len(points)) + 1
	s.day.mu.Unlock()
	sendJSON(w, FleetDay{s.cfg.Node, time.Unix(first*int64(dayPeriod/time.Second), 0).UTC(), dayPeriod.Seconds(), points})
}

// AgentDay is the changes of an agent in the last day, as /api/v1/agents/{id}/day has them.
type AgentDay struct {
	Node    string       `json:"node"`
	From    time.Time    `json:"from"`    // since when
	Changes []view.Event `json:"changes"` // newest first; they have no seq
}

// handleAgentDay answers with the changes of an agent that are on disk, which may be more than
// those in memory.
func (s *Server) handleAgentDay(w http.ResponseWriter, r *http.Request) {
	found, ok := s.findAgent(w, r)
	if !ok {
		return
	}
	day := AgentDay{Node: s.cfg.Node, From: view.TruncateTime(time.Now().Add(-24 * time.Hour)), Changes: []view.Event{}}
	if s.cfg.ReadChanges == nil {
		sendJSON(w, day)
		return
	}
	var last []history.Event
	err := errors.New("too many clients read, or the node is ending")
	if !s.runFleetScan(r, func(ctx context.Context) error {
		_, err = s.cfg.ReadChanges(ctx, day.From, &found.ID, func(e *history.Event) {
			if last = append(last, *e); len(last) > 2*maxDayChanges {
				last = slices.Delete(last, 0, maxDayChanges)
			}
		})
		return err
	}) {
		sendProblem(w, http.StatusServiceUnavailable, "the changes on disk cannot be read: "+err.Error())
		return
	}
	last = last[max(len(last)-maxDayChanges, 0):]
	for i := range last {
		day.Changes = append(day.Changes, view.NewEvent(&last[len(last)-1-i]))
	}
	sendJSON(w, day)
}
