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

// skips counts the rows that cannot be used as they are, and logs each once an hour.
// Its methods are called by the watch alone, but for stats.
type skips struct {
	log *slog.Logger

	logged map[int64]time.Time // by id
	rows   map[int64]bool      // passed over in the reading that goes on
	addrs  map[int64]bool      // whose address is of no use in it

	rowsNow, addrsNow atomic.Int64 // of the last whole reading
}

func newSkips(log *slog.Logger) *skips {
	s := &skips{log: log, logged: make(map[int64]time.Time)}
	s.begin()
	return s
}

// begin begins a reading of all rows.
func (s *skips) begin() { s.rows, s.addrs = make(map[int64]bool), make(map[int64]bool) }

// end ends one.
func (s *skips) end() {
	s.rowsNow.Store(int64(len(s.rows)))
	s.addrsNow.Store(int64(len(s.addrs)))
}

// noteRows notes rows that are passed over.
func (s *skips) noteRows(skipped []wazuhdb.Skipped) {
	for _, row := range skipped {
		s.rows[row.ID] = true
		s.warn(row.ID, "a row of the manager's database is skipped", row.Err)
	}
}

// addr notes a row that is used without its address.
func (s *skips) addr(id int64, err error) {
	s.addrs[id] = true
	s.warn(id, "an agent's address in the manager's database is not used", err)
}

func (s *skips) warn(id int64, text string, err error) {
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
	s.log.Warn(text, "problem", err.Error(), "not_again_for", skipLogAgain.String())
}
