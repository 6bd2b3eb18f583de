package attach

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// conditions is what is wrong with the manager's daemons at the moment. Each is
// logged when it comes and when it is over, and not in between.
type conditions struct {
	log *slog.Logger

	mu     sync.Mutex
	errors map[string]string // by daemon
}

func newConditions(log *slog.Logger) *conditions {
	return &conditions{log: log, errors: make(map[string]string)}
}

// setDaemonCondition sets what is wrong with a daemon; nil for nothing.
func (t *conditions) setDaemonCondition(daemon string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, failing := t.errors[daemon]
	switch {
	case err == nil && failing:
		delete(t.errors, daemon)
		t.log.Info(daemon + " is there again")
	case err != nil:
		if was != err.Error() {
			t.log.Error(daemon+" cannot be used: waiting for it", "err", err)
		}
		t.errors[daemon] = err.Error()
	}
}

// formatAll returns all that is wrong, in one line; empty if nothing is.
func (t *conditions) formatAll() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Values(t.errors)), "; ")
}

const (
	// rowLogPeriod is for how long a row is not logged again.
	rowLogPeriod = time.Hour
	// maxRowLogs is how many rows are logged in that time; the rest is only counted.
	maxRowLogs = 20
)

// rowWarnings counts the rows that cannot be used as they are, and logs each once an hour.
// It belongs to the tracker, but for the counts.
type rowWarnings struct {
	log *slog.Logger

	logged   logonce.Keys[int64] // by id
	skipped  map[int64]bool      // skipped in the latest reading
	badAddrs map[int64]bool      // whose address is of no use in it

	skippedCount, badAddrCount atomic.Int64 // of the last whole reading
}

func newRowWarnings(log *slog.Logger) *rowWarnings {
	s := &rowWarnings{log: log, logged: logonce.Keys[int64]{Period: rowLogPeriod, Max: maxRowLogs}}
	s.beginInventoryReading()
	return s
}

// beginInventoryReading starts a reading of all rows.
func (s *rowWarnings) beginInventoryReading() {
	s.skipped, s.badAddrs = make(map[int64]bool), make(map[int64]bool)
}

func (s *rowWarnings) finishInventoryReading() {
	s.skippedCount.Store(int64(len(s.skipped)))
	s.badAddrCount.Store(int64(len(s.badAddrs)))
}

func (s *rowWarnings) addSkippedRows(skipped []wazuhdb.Skipped) {
	for _, row := range skipped {
		s.skipped[row.ID] = true
		s.logOnce(row.ID, "a row of the manager's database is skipped", row.Err)
	}
}

// addBadAddr adds a row that is used without its address.
func (s *rowWarnings) addBadAddr(id int64, err error) {
	s.badAddrs[id] = true
	s.logOnce(id, "an agent's address in the manager's database is not used", err)
}

func (s *rowWarnings) logOnce(id int64, text string, err error) {
	if s.logged.Allow(id) {
		s.log.Warn(text, "err", err, "not_again_for", rowLogPeriod.String())
	}
}

// Stats is how a link is doing, and what it asked of the manager since it started.
type Stats struct {
	Agents      int64  `json:"agents"`            // that the manager calls active
	Connections int64  `json:"connections"`       // of agents, over TCP
	Problem     string `json:"problem,omitempty"` // what is wrong with the manager's daemons

	Unaskable int64   `json:"agents_not_asked"`               // of Agents, those that only the database shows: of Wazuh 5, and of a worker beside a master of it
	LostAfter float64 `json:"not_asked_lost_after,omitempty"` // seconds of silence there after which those are lost; 0 beside Wazuh 4

	Requests     int64            `json:"requests"`       // to agents
	Outcomes     map[string]int64 `json:"outcomes"`       // what became of them
	InFlight     int              `json:"in_flight"`      // that remoted has not answered
	MostInFlight int              `json:"most_in_flight"` // ever
	Window       int              `json:"window"`         // may be in flight now
	Waiting      int              `json:"waiting"`        // agents that are to be asked
	Commands     int64            `json:"commands"`       // to remoted itself
	Told         int64            `json:"told"`           // keep-alives without an answer
	NotTold      int64            `json:"not_told"`       // that could not be sent
	RequestsIn   int64            `json:"requests_bytes_in"`
	RequestsOut  int64            `json:"requests_bytes_out"`

	Skipped   int64 `json:"rows_skipped"`     // agents whose row could not be used at the last reading: known ones go on as they were
	Addresses int64 `json:"addresses_unused"` // agents whose row names what cannot be their address

	Inventory  float64 `json:"inventory_seconds"` // that the last reading of all agents took
	Statements int64   `json:"sql_statements"`    // all commands to wazuh-db
	SQLIn      int64   `json:"sql_bytes_in"`
	SQLOut     int64   `json:"sql_bytes_out"`

	Closed    int64 `json:"connections_closed"`    // that were seen to end
	Unmatched int64 `json:"connections_unmatched"` // of these, from an address with no agent, or too many, behind it
	Announced bool  `json:"kernel_announces"`      // their ends; else they are looked for every second

	Written      int64 `json:"status_written"`      // losses, into the manager's database
	Contradicted int64 `json:"status_contradicted"` // that were not, because it knew better
	Marked       int64 `json:"status_marked"`       // that were there already
	Alerts       int64 `json:"alerts_raised"`       // rule 504
	Unmarked     int64 `json:"returns_unmarked"`    // agents that are back, and disconnected in the database

	EventsSent    int64 `json:"events_sent"`    // to wazuh-analysisd, Pulse's own
	EventsWaiting int   `json:"events_waiting"` // for it
	EventsDropped int64 `json:"events_dropped"` // the oldest, as too many waited
}

// Stats returns the counts so far.
func (l *Link) Stats() Stats {
	r, db, d := l.remoted.CountTraffic(), l.db.CountTraffic(), l.connWatcher
	s := Stats{Agents: l.tracker.active.Load(), Connections: l.tracker.sessions.Load(), Problem: l.conditions.formatAll(),
		Requests: r.Requests, Outcomes: make(map[string]int64), Commands: r.Commands, RequestsIn: r.BytesIn, RequestsOut: r.BytesOut,
		Told: l.notifier.sent.Load(), NotTold: l.notifier.failed.Load(),
		Skipped: l.tracker.warnings.skippedCount.Load(), Addresses: l.tracker.warnings.badAddrCount.Load(),
		Inventory: time.Duration(l.tracker.inventoryTime.Load()).Seconds(), Statements: db.Statements, SQLIn: db.BytesIn, SQLOut: db.BytesOut,
		Closed: d.closed.Load(), Unmatched: d.unmatched.Load(), Announced: d.tcp.IsAnnounced()}
	l.prober.addProberStats(&s)
	s.Unaskable, s.LostAfter = l.tracker.activePassive.Load(), time.Duration(l.tracker.passiveTimeout.Load()).Seconds()
	if l.events != nil {
		s.EventsSent, s.EventsWaiting, s.EventsDropped = l.events.sent.Load(), l.events.countWaiting(), l.events.dropped.Load()
	}
	if w := l.writer; w != nil {
		s.Written, s.Contradicted, s.Marked, s.Alerts, s.Unmarked =
			w.written.Load(), w.contradicted.Load(), w.marked.Load(), w.alerts.Load(), w.unmarked.Load()
	}
	return s
}

func (a *prober) addProberStats(s *Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.InFlight, s.MostInFlight, s.Window, s.Waiting = a.inFlight, a.peakInFlight, a.window, a.urgent.len()+a.routine.len()
	for what, n := range a.outcomes {
		s.Outcomes[remoted.Outcome(what).String()] = n
	}
}
