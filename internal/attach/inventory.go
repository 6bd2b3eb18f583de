package attach

import (
	"cmp"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// inventoryPeriod is the time between two readings of all agents, if nothing calls for
// one before.
const inventoryPeriod = time.Minute

// applyInventory gives the detector its agents.
func (t *tracker) applyInventory(e inventoryRead) {
	if e.err == nil && e.schema.Wazuh5 {
		t.watchPassiveAgents()
	}
	t.restoreKnownAgents()
	t.warnings.beginInventoryReading()
	t.warnings.addSkippedRows(e.skipped)
	if e.err != nil {
		return
	}
	for i := range e.rows {
		if err := e.rows[i].CheckAddr(); err != nil {
			t.warnings.addBadAddr(e.rows[i].ID, err)
		}
	}
	t.warnings.finishInventoryReading()
	rows, elsewhere := t.splitInventory(&e)
	rows = t.holdVanishedRows(append(rows, t.rowsOfUnreadable()...), elsewhere)
	members, known, added := t.mergeInventoryRows(rows)
	for _, id := range elsewhere {
		switch {
		case known[id] != nil:
		case t.owners.shared == nil:
			members = append(members, detector.Member{ID: id, Elsewhere: true})
		case t.known[id] != nil:
			if a, _ := t.owners.others.findOther(id); a.name == t.known[id].name { // of an earlier run
				t.fleet.ReleaseMember(id)
			}
		}
	}
	t.inventoryTime.Store(int64(time.Since(e.began)))
	markRelayedRows(rows, known)
	t.index.replaceAll(rows)
	if !t.initialized {
		t.resumeEarlierLosses(rows)
	}
	t.fleet.SetMembers(members)
	t.known, t.recount = known, true
	for i := range rows {
		t.setPassive(rows[i].AgentID(), known[rows[i].AgentID()], rows[i].Passive != 0)
	}
	t.updateInfos(e.rows)
	for _, r := range added {
		if t.owners.shared != nil && t.owners.shared.WasElsewhere(r.AgentID()) { // it was claimed meanwhile
			t.fleet.ReleaseMember(r.AgentID())
			t.owners.releaseAgent(r.AgentID())
			continue
		}
		t.reportNewAgent(r)
	}
	t.dropReleased()
	if !t.initialized {
		t.initialized = true
		t.log.Info("agents read from wazuh-db", "manager", cmp.Or(e.schema.Manager, "unknown"), "agents", len(rows), "of_other_nodes", len(elsewhere),
			"took", time.Since(e.began).Round(time.Millisecond).String())
	}
	stays := func(id detector.AgentID) bool { return known[id] != nil }
	t.prober.retainAgents(stays)
	t.absences.retainAgents(stays)
}

// mergeInventoryRows returns the members and the known agents after a reading, and the rows of
// those that were not known before.
func (t *tracker) mergeInventoryRows(rows []wazuhdb.Row) (members []detector.Member, known map[detector.AgentID]*agent, added []*wazuhdb.Row) {
	members = make([]detector.Member, 0, len(rows))
	known = make(map[detector.AgentID]*agent, len(rows))
	for i := range rows {
		r := &rows[i]
		id := r.AgentID()
		m := detector.Member{ID: id, Name: r.Name, IP: r.Registered}
		if was := t.known[id]; was != nil && was.name == r.Name && (!was.restored || t.isHeld(id)) {
			known[id] = was
			was.registered = r.Registered
		} else {
			if was != nil && was.name != r.Name { // another agent, with its id
				t.prober.forgetAgent(id)
				t.absences.forgetAgent(id)
			}
			known[id] = &agent{name: r.Name, registered: r.Registered, keepAlive: r.KeepAlive, status: r.Status, code: r.Code}
			m.Away = t.findAwayReason(r)
			added = append(added, r)
		}
		members = append(members, m)
	}
	return members, known, added
}

// updateInfos gives the detector what has changed of the agents whose rows were read.
func (t *tracker) updateInfos(rows []wazuhdb.Row) {
	for i := range rows {
		id, info := rows[i].AgentID(), rows[i].Info
		if a := t.known[id]; a != nil && a.info != info {
			a.info = info
			t.fleet.SetInfo(id, info.Value())
		}
	}
}

// rowsOfUnreadable returns the rows that known agents had whose rows could not be used
// this time: that is no proof that they were removed.
func (t *tracker) rowsOfUnreadable() (rows []wazuhdb.Row) {
	for id := range t.warnings.skipped {
		if id <= int64(detector.MaxAgentID) && t.known[detector.AgentID(id)] != nil {
			rows = append(rows, t.knownRow(detector.AgentID(id)))
		}
	}
	return rows
}

func (t *tracker) knownRow(id detector.AgentID) wazuhdb.Row {
	a := t.known[id]
	r := wazuhdb.Row{ID: int64(id), Name: a.name, Registered: a.registered, Status: a.status, Code: a.code, KeepAlive: a.keepAlive}
	if a.passive {
		r.Passive = 1
	}
	if at := t.index.addrOfAgent(id); at.IsValid() {
		r.Addr = at.String()
	}
	return r
}

// restoreKnownAgents starts with the agents of an earlier run of the node, so that a table
// that is empty at the first reading is doubted too.
func (t *tracker) restoreKnownAgents() {
	if t.known != nil {
		return
	}
	t.known = make(map[detector.AgentID]*agent)
	for n, more := 0, true; more; n++ {
		var page []detector.Record
		page, more = t.fleet.Page(n)
		for i := range page {
			t.known[page[i].ID] = &agent{name: page[i].Name, registered: page[i].IP, restored: true}
		}
	}
}

// resumeEarlierLosses resumes what an earlier run of the node has decided. Of an agent that
// was lost then, keep-alives up to that moment prove nothing; and where the manager
// still has it as connected, the loss may not have been written. Alerts that are held stay
// so.
func (t *tracker) resumeEarlierLosses(rows []wazuhdb.Row) {
	for i := range rows {
		was, ok := t.fleet.Agent(rows[i].AgentID())
		if !ok || was.Status != detector.Disconnected || !was.Reason.IsLoss() {
			continue
		}
		if !rows[i].IsConnected() {
			t.resumeHeldAlert(&was, &rows[i])
			continue
		}
		from := lossProvenAt(t.index, was.ID, was.Since, was.LastSeen, was.Seen)
		t.absences.beginAbsence(was.ID, time.Now().Add(-t.clock.Now().Sub(from)), true)
		if t.writer != nil {
			t.writer.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: was.ID, Time: t.clock.Time(was.Since), From: detector.Active, To: detector.Disconnected,
				Reason: was.Reason, LastSeenTime: t.clock.Time(min(was.LastSeen, was.Since)), Seen: was.Seen, AlertHeld: was.AlertHeld})
		}
	}
}

// resumeHeldAlert resumes the alert of a loss that an earlier run has written, and that is
// still held.
func (t *tracker) resumeHeldAlert(was *detector.Record, r *wazuhdb.Row) {
	if t.writer != nil && was.AlertHeld && r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeNoKeepAlive {
		t.writer.holdWrittenAlert(was.ID, formatDisconnectedAlert(was.ID, r.Name, r.Registered))
	}
}

// findAwayReason returns why a new agent that was there before is away; NoReason if it
// is not.
func (t *tracker) findAwayReason(r *wazuhdb.Row) detector.Reason {
	switch {
	case r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeShutdown:
		return detector.AgentShutdown
	case r.Status == wazuhdb.StatusDisconnected && r.KeepAlive > 0, r.IsConnected() && !t.isFreshKeepAlive(r):
		return detector.KeepAliveTimeout
	}
	return detector.NoReason
}

func (t *tracker) isFreshKeepAlive(r *wazuhdb.Row) bool {
	if r.Passive != 0 {
		return t.isFreshPassive(r.KeepAlive)
	}
	return t.wall.ageOfSecond(r.KeepAlive) < t.timeout
}

// reportNewAgent reports a new agent's state. One that an earlier run of the node has
// left as active may have been shut down meanwhile.
func (t *tracker) reportNewAgent(r *wazuhdb.Row) {
	id := r.AgentID()
	switch {
	case r.IsConnected() && t.isFreshKeepAlive(r) && t.owners.isDoubtfulRow(r, t.wall.ageOfSecond(r.KeepAlive)):
		t.prober.probeAgent(id)
	case r.IsConnected() && t.isFreshKeepAlive(r):
		t.handleSignOfLife(id, r.Status, r.KeepAlive)
	case r.Status == wazuhdb.StatusDisconnected && r.Code == wazuhdb.CodeShutdown:
		if was, ok := t.fleet.Agent(id); ok && was.Status == detector.Active {
			t.fleet.Report(detector.Sighting{At: t.clock.Now(), ID: id, Kind: detector.SawShutdown})
		}
	}
}

const (
	// removalHold and removalReadings are for how long, and over how many readings at
	// least, agents are still watched that vanished from the table together.
	removalHold     = time.Minute
	removalReadings = 3
	// heldPeriod is the time between two readings of all agents meanwhile.
	heldPeriod = 10 * time.Second
)

// heldAgent is one that is not in the table any more, and is still watched.
type heldAgent struct {
	since    time.Time
	readings int // in which it was missing
}

// holdVanishedRows returns the rows of a reading with those of agents that vanished from the
// table together. That may be a mistake: an emptied table, or one that a restore has
// only begun to fill.
func (t *tracker) holdVanishedRows(rows []wazuhdb.Row, others []detector.AgentID) []wazuhdb.Row {
	there := make(map[detector.AgentID]bool, len(rows)+len(others))
	for i := range rows {
		there[detector.AgentID(rows[i].ID)] = true
	}
	for _, id := range others {
		there[id] = true
	}
	var lost []detector.AgentID
	for id := range t.known {
		if !there[id] {
			lost = append(lost, id)
		}
	}
	if now := time.Now(); !t.removed.Doubtful(len(lost), len(t.known), false, now) {
		t.removed.Record(len(lost), now)
		lost = nil
	}
	held := make(map[detector.AgentID]heldAgent, len(lost))
	until := time.Time{}
	for _, id := range lost {
		h, ok := t.held[id]
		if !ok {
			h.since = time.Now()
		}
		h.readings++
		end := h.since.Add(t.holdTime)
		if h.readings > removalReadings && !time.Now().Before(end) {
			continue
		}
		held[id] = h
		rows = append(rows, t.knownRow(id))
		if until.IsZero() || end.Before(until) {
			until = end
		}
	}
	t.held = held
	t.vanished.Store(&Vanished{Held: len(held), Until: until, Agents: len(rows)})
	return rows
}

func (t *tracker) isHeld(id detector.AgentID) bool { _, ok := t.held[id]; return ok }

// nextInventoryPeriod returns the time between two readings of all agents, if nothing calls
// for one before.
func (t *tracker) nextInventoryPeriod() time.Duration {
	if len(t.held) > 0 {
		return min(heldPeriod, t.holdTime/removalReadings)
	}
	return inventoryPeriod
}

// Vanished is how many agents are watched, and of these, how many vanished from the
// manager's table together.
type Vanished struct {
	Agents int
	Held   int
	Until  time.Time // when the first of them is removed, unless it is back
}

// Vanished returns that of the last reading. It may be called concurrently.
func (l *Link) Vanished() Vanished {
	if v := l.tracker.vanished.Load(); v != nil {
		return *v
	}
	return Vanished{}
}
