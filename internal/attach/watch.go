package attach

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// watchPeriod is the time between two readings of what changed. It comes on top
	// of an agent's own pace when its silence is judged, so it is short.
	watchPeriod = 2 * time.Second
	// gatherTime is the time from a closed connection to the reading that it is a reason for.
	gatherTime = 250 * time.Millisecond
	// rollPeriod is the time between two readings of all agents, if nothing calls
	// for one before.
	rollPeriod = time.Minute
)

// watch reads the database. What it knows belongs to the goroutine of run, but
// for the absences.
type watch struct {
	db      *database
	place   Place
	clock   *detector.Clock
	fleet   Fleet
	period  time.Duration
	timeout time.Duration // silence after which an agent that nobody watched before is away
	log     *slog.Logger
	said    *troubles
	asker   *asker
	book    *book
	reset   func() // remoted has called all agents disconnected, because it started
	active  func(int)
	undone  func(*detector.Decision) // a loss of an earlier life of the node, of which the manager may not know

	took atomic.Int64 // the last reading of all agents: nanoseconds

	known    map[detector.AgentID]*agent
	size0    size
	rolled   time.Time
	looked   time.Time // when changes were read last
	lookedAt int64     // the same, as a second of the wall clock then
	tasted   bool      // there was a first reading

	soon    chan struct{}      // there is reason to look before it is time
	arrived []detector.AgentID // became active, and may be elsewhere than before

	skips *skips

	hold     time.Duration // of agents that vanished together
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

// run reads until ctx ends.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(w.period)
	defer tick.Stop()
	for {
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.said.set("wazuh-db", err)
		select {
		case <-tick.C:
		case <-w.soon:
			w.gather(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// hurry has the database read soon: an agent's connection has closed, and
// whether it was shut down is written there. Otherwise the end of a connection is
// known before its reason.
func (w *watch) hurry() {
	select {
	case w.soon <- struct{}{}:
	default:
	}
}

// gather waits for a moment, so that the manager has written what it knows, and
// many connections that close are one reading.
func (w *watch) gather(ctx context.Context) {
	t := time.NewTimer(min(gatherTime, w.period))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// look reads what changed since it last did, and all agents when that is due.
func (w *watch) look(ctx context.Context) error {
	now, err := w.size(ctx)
	if err != nil {
		return err
	}
	if now != w.size0 || time.Since(w.rolled) >= w.rollEvery() {
		if err := w.callRoll(ctx); err != nil {
			return err
		}
		w.size0, w.rolled = now, time.Now()
	}
	if err := w.changes(ctx); err != nil {
		return err
	}
	if err := w.locate(ctx); err != nil {
		return err
	}
	for _, id := range w.absences.unasked() {
		w.confirm(id)
	}
	return nil
}

// callRoll gives the detector its agents.
func (w *watch) callRoll(ctx context.Context) error {
	began := time.Now()
	w.recall()
	rows, err := w.roll(ctx)
	if err != nil {
		return err
	}
	others, err := w.elsewhere(ctx)
	if err != nil {
		return err
	}
	rows = w.holdVanished(rows, others)
	members := make([]detector.Member, 0, len(rows)+len(others))
	known := make(map[detector.AgentID]*agent, len(rows))
	var fresh []*row
	for i := range rows {
		r := &rows[i]
		id := detector.AgentID(r.ID)
		m := detector.Member{ID: id, Name: r.Name, IP: r.Registered}
		if was := w.known[id]; was != nil && was.name == r.Name && (!was.restored || w.isHeld(id)) {
			known[id] = was
			was.registered = r.Registered
		} else {
			if was != nil && was.name != r.Name { // another agent, with its id
				w.asker.forgetAgent(id)
				w.absences.forgetAgent(id)
			}
			known[id] = &agent{name: r.Name, registered: r.Registered, keepAlive: r.KeepAlive, status: r.Status, code: r.Code}
			m.Away = w.away(r)
			fresh = append(fresh, r)
		}
		members = append(members, m)
	}
	for _, id := range others {
		if known[id] == nil {
			members = append(members, detector.Member{ID: id, Elsewhere: true})
		}
	}
	w.took.Store(int64(time.Since(began)))
	w.book.set(rows)
	if !w.tasted {
		w.resume(rows)
	}
	w.fleet.SetMembers(members)
	w.known = known
	for _, r := range fresh {
		w.meet(r)
	}
	if !w.tasted {
		w.tasted = true
		l, _ := w.db.layout(ctx) // it is known by now
		w.log.Info("agents read from wazuh-db", "manager", cmp.Or(l.manager, "unknown"), "agents", len(rows), "of_other_nodes", len(others), "took", time.Since(began).Round(time.Millisecond).String())
	}
	stays := func(id detector.AgentID) bool { return known[id] != nil }
	w.asker.keep(stays)
	w.absences.keepOnly(stays)
	return nil
}

// resume takes up what an earlier life of the node has decided. Of an agent that
// was lost then, keep-alives up to that moment prove nothing; and where the manager
// still has it for connected, the loss may not have been written.
func (w *watch) resume(rows []row) {
	for i := range rows {
		r := &rows[i]
		if r.Status != isActive && r.Status != isPending {
			continue
		}
		was, ok := w.fleet.Agent(detector.AgentID(r.ID))
		if !ok || was.Status != detector.Disconnected || !was.Reason.IsLoss() {
			continue
		}
		w.absences.begin(was.ID, time.Now().Add(-w.clock.Now().Sub(was.Since)), true)
		w.undone(&detector.Decision{Verdict: detector.Changed, ID: was.ID, At: was.Since, From: detector.Active, To: detector.Disconnected,
			Reason: was.Reason, LastSeen: min(was.LastSeen, was.Since), Seen: was.Seen})
	}
}

// away says for a new agent whether it has been there before, and is not now.
func (w *watch) away(r *row) detector.Reason {
	switch {
	case r.Status == isDisconnected && r.Code == codeShutdown:
		return detector.AgentShutdown
	case r.Status == isDisconnected && r.KeepAlive > 0, (r.Status == isActive || r.Status == isPending) && !w.isFresh(r.KeepAlive):
		return detector.KeepAliveTimeout
	}
	return detector.NoReason
}

func (w *watch) isFresh(keepAlive int64) bool {
	return w.wall.age(keepAlive) < w.timeout
}

// meet reports a new agent's state. One that an earlier life of the node has
// left as active may have said goodbye meanwhile.
func (w *watch) meet(r *row) {
	id := detector.AgentID(r.ID)
	switch {
	case (r.Status == isActive || r.Status == isPending) && w.isFresh(r.KeepAlive):
		w.told(id, r.Status, r.KeepAlive)
	case r.Status == isDisconnected && r.Code == codeShutdown:
		if was, ok := w.fleet.Agent(id); ok && was.Status == detector.Active {
			w.fleet.Report(detector.Sighting{At: w.clock.Now(), ID: id, Kind: detector.SawShutdown})
		}
	}
}

// seen reports an agent's own keep-alive or startup, with the time that the
// database has for it.
func (w *watch) seen(id detector.AgentID, status string, keepAlive int64) {
	age := w.wall.age(keepAlive)
	w.asker.seen(id, time.Now().Add(-age))
	w.report(id, status, w.clock.Now().Add(-age))
}

func (w *watch) report(id detector.AgentID, status string, at detector.Instant) {
	kind := detector.SawKeepAlive
	if status == isPending {
		kind = detector.SawStartup
	}
	w.fleet.Report(detector.Sighting{At: at, ID: id, Kind: kind, Addr: w.book.addr(id)})
}

// told takes it that an agent's last keep-alive, or startup, was in a second. Where that
// does not prove that it is there, the agent is asked.
func (w *watch) told(id detector.AgentID, status string, second int64) {
	there, ask := w.absences.sign(id, status, second)
	if there {
		w.seen(id, status, second)
	}
	if ask {
		w.confirm(id)
	}
}

// confirm asks an agent whether it is back.
func (w *watch) confirm(id detector.AgentID) {
	if !w.asker.confirm(id) {
		w.absences.notAsked(id)
	}
}

// answered takes an agent's answer to a request that was sent at a time, and reports
// whether it is a sign of life. If the agent was gone, it is back. Any goroutine may call it.
func (w *watch) answered(id detector.AgentID, sent time.Time) bool {
	over, proves := w.absences.answered(id, sent)
	if over != nil && over.gone {
		at := w.clock.Now()
		if over.second > 0 { // and not before it was gone, by a second that is cut off
			at = at.Add(-min(w.wall.age(over.second), time.Since(over.since)))
		}
		w.report(id, over.status, at)
	}
	return proves
}
