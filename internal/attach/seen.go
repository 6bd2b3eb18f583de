package attach

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// reportSign reports an agent's own keep-alive or startup, with the time that the
// database has for it.
func (w *dbWatcher) reportSign(id detector.AgentID, status string, keepAlive int64) {
	age := w.wall.age(keepAlive)
	w.prober.recordSign(id, time.Now().Add(-age))
	w.reportSighting(id, status, w.clock.Now().Add(-age))
}

func (w *dbWatcher) reportSighting(id detector.AgentID, status string, at detector.Instant) {
	kind := detector.SawKeepAlive
	if status == wazuhdb.StatusPending {
		kind = detector.SawStartup
	}
	w.fleet.Report(detector.Sighting{At: at, ID: id, Kind: kind, Addr: w.index.addrOf(id)})
}

// handleSign takes it that an agent's last keep-alive, or startup, was in a second. Where that
// does not prove that it is there, the agent is asked.
func (w *dbWatcher) handleSign(id detector.AgentID, status string, second int64) {
	there, ask := w.absences.recordSign(id, status, second)
	if there {
		w.reportSign(id, status, second)
	}
	if ask {
		w.probeReturned(id)
	}
}

// probeReturned asks an agent whether it is back.
func (w *dbWatcher) probeReturned(id detector.AgentID) {
	if !w.prober.probeReturned(id) {
		w.absences.markUnprobed(id)
	}
}

// acceptAnswer takes an agent's answer to a request that was sent at a time, and reports
// whether it is a sign of life. If the agent was gone, it is back. Any goroutine may call it.
func (w *dbWatcher) acceptAnswer(id detector.AgentID, sent time.Time) bool {
	over, proves := w.absences.endByAnswer(id, sent)
	if over != nil && over.needsProof {
		at := w.clock.Now()
		if over.lastSecond > 0 { // and not before it was gone, by a second that is cut off
			at = at.Add(-min(w.wall.age(over.lastSecond), time.Since(over.since)))
		}
		w.reportSighting(id, over.status, at)
	}
	return proves
}
