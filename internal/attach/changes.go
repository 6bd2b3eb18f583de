package attach

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// readChanges reads which agents have sent something, or were marked, since it last
// did: those with a keep-alive or a disconnection since then. Times are whole
// seconds of the host's clock, so the second before counts too; what is known
// already is passed over.
func (w *dbWatcher) readChanges(ctx context.Context) error {
	now := time.Now()
	second := w.wall.now().Unix()
	from := second - 1
	if !w.changesAt.IsZero() { // whichever way the wall clock was set meanwhile
		from = min(w.changesSecond, w.wall.second(w.changesAt)) - 1
	}
	changes, err := w.db.ReadChanges(ctx, from)
	for i := range changes {
		w.applyChange(&changes[i])
	}
	if err != nil {
		return err
	}
	w.changesAt, w.changesSecond = now, second
	w.countActive()
	return nil
}

func (w *dbWatcher) applyChange(g *wazuhdb.Change) {
	reset := false
	for _, id := range g.Agents {
		a := w.known[id]
		if a == nil {
			continue // the roll will have it
		}
		if a.status == g.Status && a.code == g.Code && (a.keepAlive == g.KeepAlive || g.Status == wazuhdb.StatusDisconnected) {
			continue
		}
		was := *a
		a.status, a.code = g.Status, g.Code
		if g.Status == wazuhdb.StatusDisconnected {
			reset = w.applyDisconnected(id, &was, g.Code) || reset
			continue
		}
		a.keepAlive = g.KeepAlive
		if g.Status == wazuhdb.StatusActive && was.status != wazuhdb.StatusActive {
			w.arrived = append(w.arrived, id) // it is reported when it is known from where
		} else if g.KeepAlive != was.keepAlive {
			w.handleSign(id, g.Status, g.KeepAlive)
		}
	}
	if reset {
		w.handleReset()
	}
}

// applyDisconnected takes it that the manager calls an agent disconnected, and reports
// whether remoted did so to all, because it started.
func (w *dbWatcher) applyDisconnected(id detector.AgentID, was *agent, code int) (reset bool) {
	switch {
	case code == wazuhdb.CodeShutdown:
		w.absences.beginAbsence(id, time.Now(), true)
		w.fleet.Report(detector.Sighting{At: w.clock.Now(), ID: id, Kind: detector.SawShutdown})
	case code == wazuhdb.CodeReset:
		return was.status != wazuhdb.StatusDisconnected
	case (code == wazuhdb.CodeNoKeepAlive || code == wazuhdb.CodeNone) && was.status != wazuhdb.StatusDisconnected:
		if now, ok := w.fleet.Agent(id); !ok || now.Status != detector.Disconnected { // else it was ourselves
			w.prober.probeAgent(id) // monitord says so, or nobody says who; whether it is true, the agent knows
		}
	}
	return false
}

// countActive counts the active agents.
func (w *dbWatcher) countActive() {
	n := 0
	for _, a := range w.known {
		if a.status == wazuhdb.StatusActive {
			n++
		}
	}
	w.setActive(n)
}
