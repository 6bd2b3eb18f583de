package attach

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// readAgents reads all agents of this node.
func (w *dbWatcher) readAgents(ctx context.Context) ([]wazuhdb.Row, error) {
	w.warnings.beginReading()
	all, skipped, err := w.db.ReadAgents(ctx)
	w.warnings.addSkipped(skipped)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].CheckAddr(); err != nil {
			w.warnings.addBadAddr(all[i].ID, err)
		}
	}
	w.warnings.finishReading()
	return append(all, w.keepUnreadable()...), nil
}

// keepUnreadable are the agents that are known from before, and whose rows could not be
// used this time: that is no proof that they were removed.
func (w *dbWatcher) keepUnreadable() (rows []wazuhdb.Row) {
	for id := range w.warnings.skipped {
		if id > int64(detector.MaxAgentID) {
			continue
		}
		if w.known[detector.AgentID(id)] != nil {
			rows = append(rows, w.knownRow(detector.AgentID(id)))
		}
	}
	return rows
}
