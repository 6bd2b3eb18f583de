package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// Inventory is how the list of agents is doing that a link has.
type Inventory struct {
	Agents  int       `json:"agents"`              // on the list, or watched still
	Held    int       `json:"held"`                // of these, those that vanished from it at once
	Until   time.Time `json:"held_until,omitzero"` // when the first of them is removed, unless it is back
	Problem string    `json:"problem,omitempty"`   // why the list cannot be read; absent while it can
}

// inventory keeps the detector and the link at the agents of client.keys. It is
// for one goroutine, but for status.
type inventory struct {
	path     string
	detector *detector.Detector
	link     *listen.Link
	audit    *audittrail.Trail
	log      *slog.Logger
	hold     time.Duration // of doubtful removals; 0 for removalHold

	watched  agentsWatched
	reading  *clientkeys.Set // the last
	problems []clientkeys.Problem
	due      time.Time // when held agents are removed; zero while there are none

	mu  sync.Mutex
	now Inventory
}

// status may be called concurrently.
func (inv *inventory) status() *Inventory {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	now := inv.now
	return &now
}

func (inv *inventory) note(change func(*Inventory)) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	change(&inv.now)
}

// run takes a first reading of the file and follows it until ctx ends.
func (inv *inventory) run(ctx context.Context, first *clientkeys.Set, problems []clientkeys.Problem) {
	inv.watched = agentsWatched{keys: new(clientkeys.Set), keyless: inv.restored()}
	inv.read(first, problems)
	inv.audit.RecordAgents(nil, inv.watched.keys, len(problems))

	calls := make(chan func())
	do := func(f func()) {
		select {
		case calls <- f:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		clientkeys.Watch(ctx, inv.path, first,
			func(keys *clientkeys.Set, problems []clientkeys.Problem) { do(func() { inv.changed(keys, problems) }) },
			func(err error) { do(func() { inv.failed(err) }) })
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
			inv.settle()
		}
	}
}

// restored are the agents that the detector knows from an earlier life.
func (inv *inventory) restored() (agents []clientkeys.Key) {
	for n, more := 0, true; more; n++ {
		var page []detector.Record
		page, more = inv.detector.Page(n)
		for i := range page {
			agents = append(agents, clientkeys.Key{ID: page[i].ID.String(), Name: page[i].Name})
		}
	}
	return agents
}

// changed takes a reading that is not the one before.
func (inv *inventory) changed(keys *clientkeys.Set, problems []clientkeys.Problem) {
	was := inv.watched.keys
	inv.read(keys, problems)
	inv.audit.RecordAgents(was, inv.watched.keys, len(problems))
	inv.log.Info("client.keys changed", "file", inv.path, "agents", keys.Len(), "skipped_lines", len(problems), "removals_held", len(inv.watched.held))
}

// settle removes agents whose hold is over, unless the file cannot be looked at.
func (inv *inventory) settle() {
	if inv.status().Problem != "" {
		inv.watched.restartHold(time.Now())
	}
	was := inv.watched.keys
	inv.apply()
	if was.Len() != inv.watched.keys.Len() {
		inv.audit.RecordAgents(was, inv.watched.keys, len(inv.problems))
	}
}

// read takes a reading, and logs what is wrong with its lines.
func (inv *inventory) read(keys *clientkeys.Set, problems []clientkeys.Problem) {
	inv.reading, inv.problems = keys, problems
	inv.apply()
	for _, p := range problems {
		inv.log.Warn("a line of client.keys is skipped", "file", inv.path, "problem", p.Error())
	}
}

// apply makes the agents those of the last reading, as far as that is believed. The
// detector has them first, so that it knows an agent before the link lets it in.
func (inv *inventory) apply() {
	w := &inv.watched
	inv.due = w.take(inv.reading, time.Now(), cmp.Or(inv.hold, removalHold))
	inv.note(func(now *Inventory) { now.Agents, now.Held, now.Until = w.len(), len(w.held), inv.due.UTC() })
	members := make([]detector.Member, 0, w.len())
	for key := range w.keys.All() {
		if id, err := detector.ParseID(key.ID); err == nil { // else clientkeys has refused it
			members = append(members, detector.Member{ID: id, Name: key.Name, IP: key.IP.String()})
		}
	}
	for _, key := range w.keyless {
		if id, err := detector.ParseID(key.ID); err == nil {
			if r, ok := inv.detector.Agent(id); ok {
				members = append(members, detector.Member{ID: id, Name: r.Name, IP: r.IP})
			}
		}
	}
	inv.detector.SetMembers(members)
	inv.link.SetKeys(w.keys)
}

// failed takes what keeps the file from being watched or read; nil when it can be read again.
func (inv *inventory) failed(err error) {
	if err == nil {
		inv.note(func(now *Inventory) { now.Problem = "" })
		inv.watched.restartHold(time.Now())
		inv.log.Info("client.keys can be read again", "file", inv.path)
		return
	}
	if _, ok := errors.AsType[*clientkeys.ReadError](err); ok {
		inv.note(func(now *Inventory) { now.Problem = err.Error() })
	}
	inv.log.Error("client.keys cannot be read: the agents stay those of the last reading", "error", err)
}

// vanished says in words which agents are held; "" if none are.
func (i *Inventory) vanished() string {
	if i.Held == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d agents vanished from the list of agents at once: they are watched on, and removed at %s unless they are back",
		i.Held, i.Agents, i.Until.Format(time.RFC3339))
}
