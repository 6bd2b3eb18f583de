package attach

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

const (
	// changesPeriod is the time between two readings of what changed. It comes on top
	// of an agent's own pace when its silence is judged, so it is short.
	changesPeriod = 2 * time.Second
	// gatherDelay is the time from a closed connection to the reading that it is a reason for.
	gatherDelay = 250 * time.Millisecond
	// inventoryPeriod is the time between two readings of all agents, if nothing calls
	// for one before.
	inventoryPeriod = time.Minute
)

// dbWatcher reads the database. What it knows belongs to the goroutine of run, but
// for the absences.
type dbWatcher struct {
	db          *wazuhdb.Client
	clock       *detector.Clock
	fleet       Fleet
	period      time.Duration
	timeout     time.Duration // silence after which an agent that nobody watched before is away
	log         *slog.Logger
	conditions  *conditions
	prober      *prober
	index       *agentIndex
	handleReset func() // remoted has called all agents disconnected, because it started
	setActive   func(int)
	addTask     func(*detector.Decision) // a loss of an earlier life of the node, of which the manager may not know

	inventoryTime atomic.Int64 // the last reading of all agents: nanoseconds

	known         map[detector.AgentID]*agent
	fingerprint   wazuhdb.Fingerprint
	inventoryAt   time.Time
	changesAt     time.Time // when changes were read last
	changesSecond int64     // the same, as a second of the wall clock then
	initialized   bool      // there was a first reading

	wake    chan struct{}      // there is reason to look before it is time
	arrived []detector.AgentID // became active, and may be elsewhere than before

	warnings *rowWarnings

	holdTime time.Duration // of agents that vanished together
	held     map[detector.AgentID]heldAgent
	vanished atomic.Pointer[Vanished]

	wall     wallClock
	absences absences
}

// agent is what is known of one.
type agent struct {
	name, registered string
	keepAlive        int64
	status           string
	code             int
	restored         bool // known from an earlier life of the node, and not read in this one
}

// runWatcher reads until ctx ends.
func (w *dbWatcher) runWatcher(ctx context.Context) {
	tick := time.NewTicker(w.period)
	defer tick.Stop()
	for {
		err := w.readDatabase(ctx)
		if ctx.Err() != nil {
			return
		}
		w.conditions.setCondition("wazuh-db", err)
		select {
		case <-tick.C:
		case <-w.wake:
			w.waitForMore(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// readSoon has the database read soon: an agent's connection has closed, and
// whether it was shut down is written there. Otherwise the end of a connection is
// known before its reason.
func (w *dbWatcher) readSoon() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// waitForMore waits for a moment, so that the manager has written what it knows, and
// many connections that close are one reading.
func (w *dbWatcher) waitForMore(ctx context.Context) {
	t := time.NewTimer(min(gatherDelay, w.period))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// readDatabase reads what changed since it last did, and all agents when that is due.
func (w *dbWatcher) readDatabase(ctx context.Context) error {
	now, err := w.db.ReadFingerprint(ctx)
	if err != nil {
		return err
	}
	if now != w.fingerprint || time.Since(w.inventoryAt) >= w.inventoryPeriod() {
		if err := w.readInventory(ctx); err != nil {
			return err
		}
		w.fingerprint, w.inventoryAt = now, time.Now()
	}
	if err := w.readChanges(ctx); err != nil {
		return err
	}
	if err := w.locateArrived(ctx); err != nil {
		return err
	}
	for _, id := range w.absences.takeUnprobed() {
		w.probeReturned(id)
	}
	return nil
}

// readInventory gives the detector its agents.
func (w *dbWatcher) readInventory(ctx context.Context) error {
	began := time.Now()
	w.restoreKnown()
	rows, err := w.readAgents(ctx)
	if err != nil {
		return err
	}
	others, err := w.db.ReadOtherNodes(ctx)
	if err != nil {
		return err
	}
	rows = w.holdVanished(rows, others)
	members := make([]detector.Member, 0, len(rows)+len(others))
	known := make(map[detector.AgentID]*agent, len(rows))
	var fresh []*wazuhdb.Row
	for i := range rows {
		r := &rows[i]
		id := detector.AgentID(r.ID)
		m := detector.Member{ID: id, Name: r.Name, IP: r.Registered}
		if was := w.known[id]; was != nil && was.name == r.Name && (!was.restored || w.isHeld(id)) {
			known[id] = was
			was.registered = r.Registered
		} else {
			if was != nil && was.name != r.Name { // another agent, with its id
				w.prober.forgetAgent(id)
				w.absences.forgetAgent(id)
			}
			known[id] = &agent{name: r.Name, registered: r.Registered, keepAlive: r.KeepAlive, status: r.Status, code: r.Code}
			m.Away = w.findAwayReason(r)
			fresh = append(fresh, r)
		}
		members = append(members, m)
	}
	for _, id := range others {
		if known[id] == nil {
			members = append(members, detector.Member{ID: id, Elsewhere: true})
		}
	}
	w.inventoryTime.Store(int64(time.Since(began)))
	w.index.replaceAll(rows)
	if !w.initialized {
		w.resumeLosses(rows)
	}
	w.fleet.SetMembers(members)
	w.known = known
	for _, r := range fresh {
		w.reportNewAgent(r)
	}
	if !w.initialized {
		w.initialized = true
		l, _ := w.db.Schema(ctx) // it is known by now
		w.log.Info("agents read from wazuh-db", "manager", cmp.Or(l.Manager, "unknown"), "agents", len(rows), "of_other_nodes", len(others), "took", time.Since(began).Round(time.Millisecond).String())
	}
	stays := func(id detector.AgentID) bool { return known[id] != nil }
	w.prober.retainAgents(stays)
	w.absences.retainAgents(stays)
	return nil
}

// resumeLosses takes up what an earlier life of the node has decided. Of an agent that
// was lost then, keep-alives up to that moment prove nothing; and where the manager
// still has it for connected, the loss may not have been written.
func (w *dbWatcher) resumeLosses(rows []wazuhdb.Row) {
	for i := range rows {
		r := &rows[i]
		if !r.IsConnected() {
			continue
		}
		was, ok := w.fleet.Agent(detector.AgentID(r.ID))
		if !ok || was.Status != detector.Disconnected || !was.Reason.IsLoss() {
			continue
		}
		w.absences.beginAbsence(was.ID, time.Now().Add(-w.clock.Now().Sub(was.Since)), true)
		w.addTask(&detector.Decision{Verdict: detector.Changed, ID: was.ID, At: was.Since, From: detector.Active, To: detector.Disconnected,
			Reason: was.Reason, LastSeen: min(was.LastSeen, was.Since), Seen: was.Seen})
	}
}

// findAwayReason says for a new agent whether it has been there before, and is not now.
func (w *dbWatcher) findAwayReason(r *wazuhdb.Row) detector.Reason {
	switch {
	case r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeShutdown:
		return detector.AgentShutdown
	case r.Status == wazuhdb.StatusDisconnected && r.KeepAlive > 0, r.IsConnected() && !w.isFresh(r.KeepAlive):
		return detector.KeepAliveTimeout
	}
	return detector.NoReason
}

func (w *dbWatcher) isFresh(keepAlive int64) bool {
	return w.wall.age(keepAlive) < w.timeout
}

// reportNewAgent reports a new agent's state. One that an earlier life of the node has
// left as active may have said goodbye meanwhile.
func (w *dbWatcher) reportNewAgent(r *wazuhdb.Row) {
	id := detector.AgentID(r.ID)
	switch {
	case r.IsConnected() && w.isFresh(r.KeepAlive):
		w.handleSign(id, r.Status, r.KeepAlive)
	case r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeShutdown:
		if was, ok := w.fleet.Agent(id); ok && was.Status == detector.Active {
			w.fleet.Report(detector.Sighting{At: w.clock.Now(), ID: id, Kind: detector.SawShutdown})
		}
	}
}
