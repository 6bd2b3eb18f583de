// Package inventory keeps the detector and the link of the kind listen at the agents of
// client.keys. Agents that vanish from the file in large numbers at once stay watched
// for a minute, since the file may be damaged.
//
// [Inventory.Run] owns the state and starts one goroutine, which watches the file.
package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// Status is the state of the list of agents that a link has.
type Status struct {
	Agents  int       `json:"agents"`              // on the list, or watched still
	Held    int       `json:"held"`                // of these, those that vanished from it at once
	Until   time.Time `json:"held_until,omitzero"` // when the first of them is removed, unless it is back
	Problem string    `json:"problem,omitempty"`   // why the list cannot be read; absent while it can
}

// Inventory follows client.keys. Its exported fields are set before it runs.
type Inventory struct {
	Path     string
	Detector *detector.Detector
	Link     *listen.Link
	Audit    *audittrail.Trail
	Log      *slog.Logger
	Hold     time.Duration // of doubtful removals; 0 for a minute

	watched  agentsWatched
	reading  *clientkeys.Set // the last
	problems []clientkeys.Problem
	due      time.Time // when held agents are removed; zero while there are none

	mu  sync.Mutex
	now Status

	keys atomic.Pointer[clientkeys.Set] // those of watched
}

// Status returns the present state. It may be called concurrently.
func (inv *Inventory) Status() *Status {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	now := inv.now
	return &now
}

func (inv *Inventory) updateStatus(change func(*Status)) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	change(&inv.now)
}

// Keys returns the agents that are on the list, or watched still. It may be called concurrently.
func (inv *Inventory) Keys() *clientkeys.Set {
	if keys := inv.keys.Load(); keys != nil {
		return keys
	}
	return new(clientkeys.Set)
}

// Start applies a first reading of the file. It is called before the link accepts agents:
// what is reported of an agent that the detector does not know is lost.
func (inv *Inventory) Start(first *clientkeys.Set, problems []clientkeys.Problem) {
	inv.watched = agentsWatched{keys: new(clientkeys.Set), keyless: inv.listRestored()}
	inv.setReading(first, problems)
	inv.Audit.RecordAgents(nil, inv.watched.keys, len(problems))
}

// Run follows the file, of which first is the reading that was started with, until ctx
// ends.
func (inv *Inventory) Run(ctx context.Context, first *clientkeys.Set) {
	calls := make(chan func())
	do := func(f func()) {
		select {
		case calls <- f:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		clientkeys.Watch(ctx, inv.Path, first,
			func(keys *clientkeys.Set, problems []clientkeys.Problem) {
				do(func() { inv.handleReading(keys, problems) })
			},
			func(err error) { do(func() { inv.handleError(err) }) })
	})
	defer watching.Wait()
	for {
		var due <-chan time.Time
		if !inv.due.IsZero() {
			due = time.After(time.Until(inv.due))
		}
		select {
		case <-ctx.Done():
			return
		case f := <-calls:
			f()
		case <-due:
			inv.removeOverdue()
		}
	}
}

// listRestored returns the agents that the detector has restored from an earlier run.
func (inv *Inventory) listRestored() (agents []clientkeys.Key) {
	for n, more := 0, true; more; n++ {
		var page []detector.Record
		page, more = inv.Detector.Page(n)
		for i := range page {
			agents = append(agents, clientkeys.Key{ID: page[i].ID.String(), Name: page[i].Name})
		}
	}
	return agents
}

// handleReading applies a reading that differs from the one before.
func (inv *Inventory) handleReading(keys *clientkeys.Set, problems []clientkeys.Problem) {
	was := inv.watched.keys
	inv.setReading(keys, problems)
	inv.Audit.RecordAgents(was, inv.watched.keys, len(problems))
	inv.Log.Info("client.keys changed", "file", inv.Path, "agents", keys.Len(), "skipped_lines", len(problems), "removals_held", len(inv.watched.held))
}

// removeOverdue removes agents whose hold is over, unless the file cannot be read.
func (inv *Inventory) removeOverdue() {
	if inv.Status().Problem != "" {
		inv.watched.restartHold(time.Now())
	}
	was := inv.watched.keys
	inv.applyReading()
	if was.Len() != inv.watched.keys.Len() {
		inv.Audit.RecordAgents(was, inv.watched.keys, len(inv.problems))
	}
}

// setReading applies a reading, and logs the problems of its lines.
func (inv *Inventory) setReading(keys *clientkeys.Set, problems []clientkeys.Problem) {
	inv.reading, inv.problems = keys, problems
	inv.applyReading()
	for _, p := range problems {
		inv.Log.Warn("a line of client.keys is skipped", "file", inv.Path, "problem", p.Error())
	}
}

// applyReading makes the agents those of the last reading, and those that are held. The
// detector gets them first, so that it knows an agent before the link accepts it.
func (inv *Inventory) applyReading() {
	w := &inv.watched
	inv.due = w.update(inv.reading, time.Now(), cmp.Or(inv.Hold, removalHold))
	inv.keys.Store(w.keys)
	inv.updateStatus(func(now *Status) { now.Agents, now.Held, now.Until = w.count(), len(w.held), inv.due.UTC() })
	members := make([]detector.Member, 0, w.count())
	for key := range w.keys.All() {
		if id, err := detector.ParseID(key.ID); err == nil { // else clientkeys has refused it
			members = append(members, detector.Member{ID: id, Name: key.Name, IP: key.IP.String()})
		}
	}
	for _, key := range w.keyless {
		if id, err := detector.ParseID(key.ID); err == nil {
			if r, ok := inv.Detector.Agent(id); ok {
				members = append(members, detector.Member{ID: id, Name: r.Name, IP: r.IP})
			}
		}
	}
	inv.Detector.SetMembers(members)
	inv.Link.SetKeys(w.keys)
}

// handleError handles an error of watching or reading the file; nil when it can be read
// again.
func (inv *Inventory) handleError(err error) {
	if err == nil {
		inv.updateStatus(func(now *Status) { now.Problem = "" })
		inv.watched.restartHold(time.Now())
		inv.Log.Info("client.keys can be read again", "file", inv.Path)
		return
	}
	if _, ok := errors.AsType[*clientkeys.ReadError](err); ok {
		inv.updateStatus(func(now *Status) { now.Problem = err.Error() })
	}
	inv.Log.Error("client.keys cannot be read: the agents stay those of the last reading", "err", err)
}

// VanishedProblem describes the agents that are held; "" if there are none.
func (i *Status) VanishedProblem() string {
	if i.Held == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d agents vanished from the list of agents at once: they are watched on, and removed at %s unless they are back",
		i.Held, i.Agents, i.Until.Format(time.RFC3339))
}
