package attach

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

const (
	// skipLogAgain is how long a row that is passed over is not logged again.
	skipLogAgain = time.Hour
	// skipLogMost is how many rows are logged in that time; the rest is only counted.
	skipLogMost = 20
)

// rowWarnings counts the rows that cannot be used as they are, and logs each once an hour.
// Its methods are called by the watch alone, but for stats.
type rowWarnings struct {
	log *slog.Logger

	logged   map[int64]time.Time // by id
	skipped  map[int64]bool      // passed over in the reading that goes on
	badAddrs map[int64]bool      // whose address is of no use in it

	skippedCount, badAddrCount atomic.Int64 // of the last whole reading
}

func newRowWarnings(log *slog.Logger) *rowWarnings {
	s := &rowWarnings{log: log, logged: make(map[int64]time.Time)}
	s.beginReading()
	return s
}

// beginReading begins a reading of all rows.
func (s *rowWarnings) beginReading() {
	s.skipped, s.badAddrs = make(map[int64]bool), make(map[int64]bool)
}

// finishReading ends one.
func (s *rowWarnings) finishReading() {
	s.skippedCount.Store(int64(len(s.skipped)))
	s.badAddrCount.Store(int64(len(s.badAddrs)))
}

// addSkipped notes rows that are passed over.
func (s *rowWarnings) addSkipped(skipped []wazuhdb.Skipped) {
	for _, row := range skipped {
		s.skipped[row.ID] = true
		s.logOnce(row.ID, "a row of the manager's database is skipped", row.Err)
	}
}

// addBadAddr notes a row that is used without its address.
func (s *rowWarnings) addBadAddr(id int64, err error) {
	s.badAddrs[id] = true
	s.logOnce(id, "an agent's address in the manager's database is not used", err)
}

func (s *rowWarnings) logOnce(id int64, text string, err error) {
	if at, known := s.logged[id]; known && time.Since(at) < skipLogAgain {
		return
	}
	for other, at := range s.logged {
		if time.Since(at) >= skipLogAgain {
			delete(s.logged, other)
		}
	}
	if len(s.logged) >= skipLogMost {
		return
	}
	s.logged[id] = time.Now()
	s.log.Warn(text, "err", err, "not_again_for", skipLogAgain.String())
}
