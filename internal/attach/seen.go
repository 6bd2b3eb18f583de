package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// seen reports an agent's own keep-alive or startup, with the time that the
// database has for it.
func (w *watch) seen(id detector.AgentID, status string, keepAlive int64) {
	age := w.wall.age(keepAlive)
	w.asker.seen(id, time.Now().Add(-age))
	w.report(id, status, w.clock.Now().Add(-age))
}

func (w *watch) report(id detector.AgentID, status string, at detector.Instant) {
	kind := detector.SawKeepAlive
	if status == wazuhdb.StatusPending {
		kind = detector.SawStartup
	}
	w.fleet.Report(detector.Sighting{At: at, ID: id, Kind: kind, Addr: w.book.addr(id)})
}

// told takes it that an agent's last keep-alive, or startup, was in a second. Where that
// does not prove that it is there, the agent is asked.
func (w *watch) told(id detector.AgentID, status string, second int64) {
	there, ask := w.absences.sign(id, status, second)
	if there {
		w.seen(id, status, second)
	}
	if ask {
		w.confirm(id)
	}
}

// confirm asks an agent whether it is back.
func (w *watch) confirm(id detector.AgentID) {
	if !w.asker.confirm(id) {
		w.absences.notAsked(id)
	}
}

// answered takes an agent's answer to a request that was sent at a time, and reports
// whether it is a sign of life. If the agent was gone, it is back. Any goroutine may call it.
func (w *watch) answered(id detector.AgentID, sent time.Time) bool {
	over, proves := w.absences.answered(id, sent)
	if over != nil && over.gone {
		at := w.clock.Now()
		if over.second > 0 { // and not before it was gone, by a second that is cut off
			at = at.Add(-min(w.wall.age(over.second), time.Since(over.since)))
		}
		w.report(id, over.status, at)
	}
	return proves
}
