package inventory

import (
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/removals"
)

// removalHold is for how long agents that vanish together stay watched. The
// file is read every ten seconds meanwhile.
const removalHold = time.Minute

// heldRemovals are the agents that a doubtful reading lacks, by id, and since when.
type heldRemovals map[string]time.Time

// agentsWatched are the agents that the node watches.
type agentsWatched struct {
	keys    *clientkeys.Set
	keyless []clientkeys.Key // restored from an earlier run, without their secrets
	held    heldRemovals
	removed removals.History
}

func (w *agentsWatched) count() int { return w.keys.Len() + len(w.keyless) }

// update makes the agents those of a reading. Of a doubtful one it keeps the agents
// that are not in it, each until it was missing for the hold, and returns when the
// next removal is due; the zero time for never.
func (w *agentsWatched) update(reading *clientkeys.Set, now time.Time, hold time.Duration) (due time.Time) {
	reading = reading.WithoutTorn(w.keys)
	lacks := func(k *clientkeys.Key) bool {
		_, ok := reading.ByID([]byte(k.ID))
		return !ok && !reading.Removed([]byte(k.ID))
	}
	var lost, keyless []clientkeys.Key
	for k := range w.keys.All() {
		if lacks(k) {
			lost = append(lost, *k)
		}
	}
	for i := range w.keyless {
		if lacks(&w.keyless[i]) {
			keyless = append(keyless, w.keyless[i])
		}
	}
	if n := len(lost) + len(keyless); !w.removed.Doubtful(n, w.count(), reading.Damaged(), now) {
		w.removed.Record(n, now)
		lost, keyless = nil, nil
	}
	held := make(heldRemovals, len(lost)+len(keyless))
	keep := func(agents []clientkeys.Key) (kept []clientkeys.Key) {
		for _, k := range agents {
			since, ok := w.held[k.ID]
			if !ok {
				since = now
			}
			end := since.Add(hold)
			if !now.Before(end) {
				continue
			}
			held[k.ID], kept = since, append(kept, k)
			if due.IsZero() || end.Before(due) {
				due = end
			}
		}
		return kept
	}
	w.keys, w.keyless = reading.WithKeys(keep(lost)), keep(keyless)
	w.held = held
	return due
}

// restartHold lets every hold begin anew: the file could not be read.
func (w *agentsWatched) restartHold(now time.Time) {
	for id := range w.held {
		w.held[id] = now
	}
}
