package attach

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// roll reads all agents of this node.
func (w *watch) roll(ctx context.Context) ([]wazuhdb.Row, error) {
	w.skips.begin()
	all, skipped, err := w.db.ReadAgents(ctx)
	w.skips.noteRows(skipped)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].CheckAddr(); err != nil {
			w.skips.addr(all[i].ID, err)
		}
	}
	w.skips.end()
	return append(all, w.unreadable()...), nil
}

// unreadable are the agents that are known from before, and whose rows could not be
// used this time: that is no proof that they were removed.
func (w *watch) unreadable() (rows []wazuhdb.Row) {
	for id := range w.skips.rows {
		if id > int64(detector.MaxAgentID) {
			continue
		}
		if w.known[detector.AgentID(id)] != nil {
			rows = append(rows, w.knownRow(detector.AgentID(id)))
		}
	}
	return rows
}
