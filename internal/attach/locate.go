package attach

import (
	"context"
	"net/netip"
	"slices"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// locatePage is how many agents are located by one question; their rows stay
// far under what an answer holds.
const locatePage = 200

// locateArrived reads where agents are that have become active, and reports them: with
// its first keep-alive an agent's address is written, which the last reading of all
// agents does not have, and without which nobody would know whose connection closes.
func (w *dbWatcher) locateArrived(ctx context.Context) error {
	for len(w.arrived) > 0 {
		some := w.arrived[:min(len(w.arrived), locatePage)]
		rows, skipped, err := w.db.ReadAgentsByID(ctx, some)
		w.warnings.addSkipped(skipped)
		if err != nil {
			return err
		}
		for i := range rows {
			if id := rows[i].Agent(); slices.Contains(some, id) {
				w.index.setAddr(id, rows[i].ParseAddr())
			}
		}
		for _, id := range some {
			if a := w.known[id]; a != nil && a.status != wazuhdb.StatusDisconnected {
				w.handleSign(id, a.status, a.keepAlive)
			}
		}
		w.arrived = w.arrived[len(some):]
	}
	return nil
}

// setAddr notes where an agent is now.
func (b *agentIndex) setAddr(id detector.AgentID, now netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, known := b.addrs[id]
	if known && was == now || !now.IsValid() {
		return
	}
	if known { // whoever has the list goes on with the old one
		b.ids[was] = slices.DeleteFunc(slices.Clone(b.ids[was]), func(other detector.AgentID) bool { return other == id })
	}
	b.ids[now] = append(slices.Clone(b.ids[now]), id)
	b.addrs[id] = now
}
