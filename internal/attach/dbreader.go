package attach

import (
	"context"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wake"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

const (
	// changesPeriod is the time between two readings of what changed. It comes on top
	// of an agent's own pace when its silence is judged, so it is short.
	changesPeriod = 2 * time.Second
	// gatherDelay is the time from a closed connection to the reading that it is a reason for.
	gatherDelay = 250 * time.Millisecond
	// locatePage is how many agents are located by one query; their rows stay far under
	// what an answer holds.
	locatePage = 200
	// enrolmentDelay is how much older than its row an agent's time of enrolment may be.
	enrolmentDelay = time.Minute
)

// dbReader reads the database, and sends what it read to the tracker, which answers
// what to read next.
type dbReader struct {
	db         *wazuhdb.Client
	remoted    presenceReader
	events     eventQueue
	period     time.Duration
	conditions *conditions
	wall       wallClock
	wake       wake.Signal // to read early: a connection has closed, and whether its agent was shut down is in the database

	plan          readPlan
	fingerprint   wazuhdb.Fingerprint
	namesSince    int64     // of it, as a second of the wall clock
	inventoryAt   time.Time // when all agents were read last
	changesAt     time.Time // when changes were read last
	changesSecond int64     // the same, as a second of the wall clock then
	separateUntil time.Time // until then there was too much to read both with one statement
	startedAt     time.Time // when the wazuh-db that was read last was started
}

// readPlan is what the tracker wants to be read.
type readPlan struct {
	inventoryPeriod time.Duration      // between two readings of all agents, if nothing calls for one before
	locate          []detector.AgentID // became active, and may have another address, or are new here
	unclear         []detector.AgentID // may be here: remoted has whether they are
	scope           wazuhdb.Scope      // of the changes
	adopt           []string           // nodes whose agents are watched from now on
	overlap         time.Duration      // of two readings of changes
}

func newDBReader(db *wazuhdb.Client, remoted presenceReader, events eventQueue, cfg *Config, conditions *conditions) *dbReader {
	return &dbReader{db: db, remoted: remoted, events: events, period: changesPeriod, conditions: conditions, wall: cfg.wall, wake: wake.NewSignal()}
}

// runReader reads until ctx ends.
func (r *dbReader) runReader(ctx context.Context) {
	tick := time.NewTicker(r.period)
	defer tick.Stop()
	for {
		err := r.readDatabase(ctx)
		if ctx.Err() != nil {
			return
		}
		r.conditions.setDaemonCondition("wazuh-db", err)
		if err != nil && r.deliverEvent(ctx, databaseDown{}) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.wake:
			r.waitForMore(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// waitForMore waits until the manager has written what is due, and many connections
// that close are one reading.
func (r *dbReader) waitForMore(ctx context.Context) {
	t := time.NewTimer(min(gatherDelay, r.period))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// readDatabase reads what changed since it last did, and all agents when that is due.
func (r *dbReader) readDatabase(ctx context.Context) error {
	now, changes, err := r.readNews(ctx)
	if err != nil {
		return err
	}
	if started := r.db.StartedAt(); !started.Equal(r.startedAt) {
		r.startedAt = started
		if err := r.deliverEvent(ctx, databaseStarted{started}); err != nil {
			return err
		}
	}
	if now != r.fingerprint || r.isInventoryDue() {
		if err := r.readInventory(ctx); err != nil {
			return err
		}
		changes = nil // they were read before it
	}
	if changes == nil {
		err = r.readChanges(ctx)
	} else {
		err = r.deliverChanges(ctx, *changes, nil)
	}
	if err != nil {
		return err
	}
	if err := r.locateActivatedAgents(ctx); err != nil {
		return err
	}
	if err := r.readPresence(ctx); err != nil {
		return err
	}
	if err := r.readNodeAgents(ctx); err != nil {
		return err
	}
	return r.deliverEvent(ctx, databaseRead{})
}

// readInventory reads all agents, and before them a fingerprint: what changes meanwhile is
// found by the next one.
func (r *dbReader) readInventory(ctx context.Context) error {
	since := r.wall.currentTime().Add(-enrolmentDelay).Unix()
	now, err := r.db.ReadFingerprint(ctx, since)
	if err != nil {
		return err
	}
	e := inventoryRead{began: time.Now()}
	if e.rows, e.skipped, e.err = r.db.ReadAgents(ctx); e.err == nil {
		e.others, e.err = r.db.ReadOtherNodes(ctx)
	}
	if e.err == nil {
		e.schema, e.err = r.db.ReadSchema(ctx) // it is known by now
	}
	if err := r.deliverEvent(ctx, e); err != nil {
		return err
	}
	if e.err == nil {
		r.fingerprint, r.namesSince, r.inventoryAt = now, since, time.Now()
	}
	return e.err
}

// isInventoryDue reports whether all agents are to be read, whatever has changed.
func (r *dbReader) isInventoryDue() bool {
	return time.Since(r.inventoryAt) >= r.plan.inventoryPeriod
}

// readNews reads a fingerprint and, if one statement has both, what changed.
func (r *dbReader) readNews(ctx context.Context) (now wazuhdb.Fingerprint, changes *changesRead, err error) {
	if r.db.CanReadNews() && !r.isInventoryDue() && !time.Now().Before(r.separateUntil) {
		e, from := r.beginChanges()
		news, err := r.db.ReadNews(ctx, r.namesSince, from)
		if err == nil {
			e.changes = news.Changes
			return news.Fingerprint, &e, nil
		}
		if !wazuhdb.IsRowError(err) {
			return now, nil, err
		}
		r.separateUntil = time.Now().Add(inventoryPeriod)
	}
	now, err = r.db.ReadFingerprint(ctx, r.namesSince)
	return now, nil, err
}

// beginChanges returns a reading of what changed that begins now, and the second from which on
// to read: that of the last one. Times are whole seconds of the host's clock, so the second
// before counts too.
func (r *dbReader) beginChanges() (e changesRead, from int64) {
	e = changesRead{began: time.Now(), second: r.wall.currentTime().Unix()}
	from = e.second - 1
	if !r.changesAt.IsZero() { // whichever way the wall clock was set meanwhile
		from = min(r.changesSecond, r.wall.unixSecondOf(r.changesAt)) - 1
	}
	return e, from - int64(r.plan.overlap/time.Second)
}

// readChanges reads which agents have sent something, or were marked, since it last
// did: those with a keep-alive or a disconnection since then.
func (r *dbReader) readChanges(ctx context.Context) (err error) {
	e, from := r.beginChanges()
	e.changes, err = r.db.ReadChanges(ctx, from, r.plan.scope)
	return r.deliverChanges(ctx, e, err)
}

// deliverChanges sends what changed to the tracker; with an error, what was read before it.
func (r *dbReader) deliverChanges(ctx context.Context, e changesRead, err error) error {
	e.complete = err == nil
	if err := r.deliverEvent(ctx, e); err != nil {
		return err
	}
	if err == nil {
		r.changesAt, r.changesSecond = e.began, e.second
	}
	return err
}

// locateActivatedAgents reads the addresses of agents that have become active. With its first
// keep-alive an agent's address is written, which the last reading of all agents does
// not have.
func (r *dbReader) locateActivatedAgents(ctx context.Context) error {
	for len(r.plan.locate) > 0 {
		ids := r.plan.locate[:min(len(r.plan.locate), locatePage)]
		rows, skipped, err := r.db.ReadAgentsByID(ctx, ids)
		if err := r.deliverEvent(ctx, agentsLocated{ids: ids, rows: rows, skipped: skipped, complete: err == nil}); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// presenceReader is the part of a remoted.Client that a dbReader uses.
type presenceReader interface {
	ReadPresent(ctx context.Context, ids []detector.AgentID, timeout time.Duration) ([]detector.AgentID, error)
}

// readPresence reads which of the agents remoted knows whose rows leave it open who wrote them.
func (r *dbReader) readPresence(ctx context.Context) error {
	if len(r.plan.unclear) == 0 {
		return nil
	}
	var e presenceRead
	rest := r.plan.unclear
	for ids := range slices.Chunk(rest, remoted.MaxPresent) {
		present, err := r.remoted.ReadPresent(ctx, ids, checkTimeout)
		if err != nil {
			e.unanswered = rest
			break
		}
		e.present, rest = append(e.present, present...), rest[len(ids):]
	}
	return r.deliverEvent(ctx, e)
}

// deliverEvent sends an event to the tracker, waits until it has been handled and takes the
// next plan.
func (r *dbReader) deliverEvent(ctx context.Context, e event) error {
	reply := make(chan readPlan, 1)
	if !r.events.sendEvent(ctx, readStep{found: e, reply: reply}) {
		return ctx.Err()
	}
	select {
	case r.plan = <-reply:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
