package attach

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	all := make([]string, 0, len(t.errors))
	for _, problem := range t.errors {
		all = append(all, problem)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
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

	logged   map[int64]time.Time // by id
	skipped  map[int64]bool      // skipped in the latest reading
	badAddrs map[int64]bool      // whose address is of no use in it

	skippedCount, badAddrCount atomic.Int64 // of the last whole reading
}

func newRowWarnings(log *slog.Logger) *rowWarnings {
	s := &rowWarnings{log: log, logged: make(map[int64]time.Time)}
	s.beginInventoryReading()
	return s
}

// beginInventoryReading starts a reading of all rows.
func (s *rowWarnings) beginInventoryReading() {
	s.skipped, s.badAddrs = make(map[int64]bool), make(map[int64]bool)
}

// finishInventoryReading ends one.
func (s *rowWarnings) finishInventoryReading() {
	s.skippedCount.Store(int64(len(s.skipped)))
	s.badAddrCount.Store(int64(len(s.badAddrs)))
}

// addSkippedRows adds rows that are not used.
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
	if at, known := s.logged[id]; known && time.Since(at) < rowLogPeriod {
		return
	}
	for other, at := range s.logged {
		if time.Since(at) >= rowLogPeriod {
			delete(s.logged, other)
		}
	}
	if len(s.logged) >= maxRowLogs {
		return
	}
	s.logged[id] = time.Now()
	s.log.Warn(text, "err", err, "not_again_for", rowLogPeriod.String())
}
