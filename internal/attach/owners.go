package attach

import (
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// In a cluster an agent is watched by the node that sees it. Rows do not show that: a
// worker's still names the agents that have left, and of the master's all that is certain is
// that the agent has started somewhere. What shows it is
//
//   - on a worker, a last keep-alive that moves: nobody else writes its rows;
//   - on the master, a row that names it, while no other node claims the agent; and of a row
//     that another node may have sent, the agent's answer to a request;
//   - in Wazuh 5, where rows name no node and some agents cannot be asked, a last
//     keep-alive that moves while no other node claims the agent.
//
// Where the nodes share no view, rows decide, but for a worker's that move.

// SharedView is what the nodes of a cluster know together, as far as a link needs it.
type SharedView interface {
	// IsElsewhere reports whether another living node has an agent, by a sign of life after
	// this node's last.
	IsElsewhere(detector.AgentID) bool
	// WasElsewhere reports whether the last node that had an agent is another one.
	WasElsewhere(detector.AgentID) bool
	// IsCurrent reports whether the view has been read, and this node is not cut off from it.
	IsCurrent() bool
	// IsNodeAlive reports whether there is a Pulse on a node.
	IsNodeAlive(node string) bool
}

const (
	// departureHold is for how long after an agent has left another node, or this one for
	// another, a row of the master's that moves shows nothing: a worker's last changes may
	// still be on their way.
	departureHold = 30 * time.Second
	// freshSign is how old the keep-alive in a row may be that shows that an agent is still
	// here: with Wazuh's defaults there is one every 10 s.
	freshSign = 15 * time.Second
	// askWindow is for how long after a connection was opened agents are asked that have
	// started at some node: a request to one that is not here is an error in remoted's log.
	askWindow = 15 * time.Second
)

// owners decides which agents are this node's. It belongs to the tracker, but for what its
// mutex guards.
type owners struct {
	role   wazuhdb.ClusterRole
	shared SharedView // nil where nodes share no view

	others   otherAgents               // that are not known: by the last inventory, or released since
	arriving []detector.AgentID        // are seen here, and are not known: their rows are to be read
	proven   map[detector.AgentID]bool // of those, that have answered a request
	unclear  []detector.AgentID        // of whose rows another node may have sent what is new: remoted has who they are
	coarse   map[string]bool           // nodes whose agents are watched by their rows
	opened   int                       // connections that were opened, each of which may be of an agent that is to be asked
	openedAt time.Time                 // the last of them

	mu       sync.Mutex
	released []detector.AgentID             // have moved to another node, and the tracker does not know yet
	left     map[detector.AgentID]time.Time // when agents have left this node for another, or another one
}

func newOwners(role wazuhdb.ClusterRole, shared SharedView) *owners {
	return &owners{role: role, shared: shared, left: make(map[detector.AgentID]time.Time), proven: make(map[detector.AgentID]bool), coarse: make(map[string]bool)}
}

// releaseAgent records that an agent has moved to another node. It may be called concurrently.
func (o *owners) releaseAgent(id detector.AgentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.released = append(o.released, id)
	o.left[id] = time.Now()
}

// recordDeparture records that an agent has left another node. It may be called concurrently.
func (o *owners) recordDeparture(id detector.AgentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left[id] = time.Now()
}

// recordOpenedConns records that connections to the agents' ports were opened.
func (o *owners) recordOpenedConns(n int) {
	if now := time.Now(); now.Sub(o.openedAt) > askWindow {
		o.opened, o.openedAt = n, now
	} else {
		o.opened, o.openedAt = o.opened+n, now
	}
}

// mayAsk reports whether an agent may be asked because a connection was opened, and takes that
// for this one.
func (o *owners) mayAsk() bool {
	if !o.isOpenedLately() {
		return false
	}
	o.opened--
	return true
}

func (o *owners) takeReleased() []detector.AgentID {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := o.released
	o.released = nil
	return ids
}

// hasLeft reports whether an agent has left this node for another, or another one, and
// whether that was a moment ago.
func (o *owners) hasLeft(id detector.AgentID) (left, lately bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, left := o.left[id]
	return left, left && time.Since(at) < departureHold
}

func (o *owners) forgetDeparture(id detector.AgentID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.left, id)
}

func (o *owners) isElsewhere(id detector.AgentID) bool {
	return o.shared != nil && o.shared.IsElsewhere(id)
}

// isByRow reports whether an agent that is not known is this node's by its row alone.
func (o *owners) isByRow(r *wazuhdb.Row, wazuh5 bool) bool {
	id := r.AgentID()
	switch {
	case o.shared == nil:
		return true // what is read are this node's rows
	case wazuh5 && o.role.Worker && r.Status == wazuhdb.StatusNeverConnected:
		return false // it is the master's to watch
	}
	left, lately := o.hasLeft(id)
	return !lately && (!left || o.shared.IsCurrent()) && !o.shared.WasElsewhere(id)
}

// isDoubtfulRow reports whether the last keep-alive of an agent that is not known shows less
// than an answer of its own would: it may have moved to another node since. One that cannot
// be asked has to be believed.
func (o *owners) isDoubtfulRow(r *wazuhdb.Row, age time.Duration) bool {
	return o.shared != nil && r.Passive == 0 && age > freshSign
}

// judgeChange returns whether a change shows that an agent that is not known is here, and
// whether remoted might know it.
func (o *owners) judgeChange(id detector.AgentID, c *wazuhdb.Change) (seen, unclear bool) {
	was, _ := o.others.findOther(id)
	if c.Status != wazuhdb.StatusActive && c.Status != wazuhdb.StatusPending || min(c.KeepAlive, maxSecond) <= was.keepAlive {
		return false, false
	}
	left, lately := o.hasLeft(id)
	switch {
	case !o.role.IsMaster(): // of a worker, which writes its rows alone
		return true, false
	case o.shared == nil:
		return c.Node == o.role.Node, false
	case c.Passive:
		return !lately && !o.isElsewhere(id), false
	case c.Node == o.role.Node && !left && !o.isElsewhere(id):
		return true, false
	}
	return false, o.isOpenedLately() || c.Node == o.role.Node && !lately
}

// isOpenedLately reports whether a connection to the agents' ports was opened of an agent that
// may not be known.
func (o *owners) isOpenedLately() bool {
	return o.opened > 0 && time.Since(o.openedAt) <= askWindow
}

// splitInventory returns the rows of a reading that are of this node's agents. The others are
// what may come here.
func (t *tracker) splitInventory(e *inventoryRead) (own []wazuhdb.Row, elsewhere []detector.AgentID) {
	o := t.owners
	if !o.role.IsClustered() {
		return e.rows, nil
	}
	others := make([]packedOther, 0, len(e.others))
	addOther := func(id detector.AgentID, a other) {
		was, _ := o.others.findOther(id)
		a.keepAlive = max(a.keepAlive, was.keepAlive)
		others, elsewhere = append(others, packOther(id, &a)), append(elsewhere, id)
	}
	for i := range e.rows {
		r := &e.rows[i]
		id := r.AgentID()
		if a := t.known[id]; a != nil && !a.restored && a.name == r.Name || o.isByRow(r, e.schema.Wazuh5) {
			own = append(own, *r)
		} else {
			addOther(id, other{r.Name, r.Registered, r.KeepAlive, r.Info})
		}
	}
	for i := range e.others {
		r := &e.others[i]
		id := detector.AgentID(r.ID)
		if a := t.known[id]; a != nil && a.name == r.Name && (a.bySight && o.role.Worker || o.shared != nil && !a.restored && !o.isElsewhere(id)) {
			own = append(own, t.knownRow(id)) // its row will name this node, or another one will claim it
			continue
		}
		addOther(id, other{r.Name, r.Registered, r.KeepAlive, r.Info})
	}
	o.others.replaceOthers(others)
	return own, elsewhere
}

// dropReleased gives up the agents that have moved to another node.
func (t *tracker) dropReleased() {
	ids := t.owners.takeReleased()
	for _, id := range ids {
		a := t.known[id]
		if a == nil {
			continue
		}
		t.owners.others.setOther(id, other{a.name, a.registered, a.keepAlive, a.info})
		delete(t.known, id)
		t.recount = true
		t.index.setCoarse(id, "")
		t.absences.forgetAgent(id)
		t.prober.forgetAgent(id)
	}
}

// applyForeignChange handles a change of an agent that is not known.
func (t *tracker) applyForeignChange(id detector.AgentID, c *wazuhdb.Change) {
	o := t.owners
	if !o.role.IsClustered() {
		return // it comes with the next inventory
	}
	seen, unclear := o.judgeChange(id, c)
	was, _ := o.others.findOther(id)
	was.keepAlive = max(was.keepAlive, c.KeepAlive)
	o.others.setOther(id, was)
	switch {
	case seen:
		o.arriving = append(o.arriving, id)
	case unclear && len(o.unclear) < maxUnclear:
		o.unclear = append(o.unclear, id)
	}
}

// maxUnclear is how many agents remoted is asked about after one reading.
const maxUnclear = 10 * remoted.MaxPresent

// applyPresence has the agents probed that remoted knows. If it does not answer such
// questions, as many are probed as connections were opened: a request to one that is not
// here is an error in remoted's log.
func (t *tracker) applyPresence(e presenceRead) {
	t.owners.unclear = nil
	for _, id := range e.present {
		if t.known[id] == nil {
			t.prober.probeAgent(id)
		}
	}
	for _, id := range e.unanswered {
		if t.known[id] == nil && t.owners.mayAsk() {
			t.prober.probeAgent(id)
		}
	}
}

// handleForeignOutcome handles what a request has shown to an agent that is not known: if it
// has answered, it is here.
func (t *tracker) handleForeignOutcome(e requestEnded) {
	switch o := t.owners; {
	case e.outcome == remoted.NotConnected:
		t.checkRemotedRestart()
	case e.outcome == remoted.Answered && !o.proven[e.id]:
		o.proven[e.id] = true
		o.arriving = append(o.arriving, e.id)
		t.reader.wake.Send()
	}
}

// admitAgents adds the agents to the detector's whose rows were read because they are here.
func (t *tracker) admitAgents(ids []detector.AgentID, rows []wazuhdb.Row) {
	for i := range rows {
		r := &rows[i]
		id := r.AgentID()
		if t.known[id] != nil || !r.IsConnected() && !t.owners.proven[id] {
			continue
		}
		t.known[id] = &agent{name: r.Name, registered: r.Registered, keepAlive: r.KeepAlive, status: r.Status, code: r.Code, bySight: true}
		t.recount = true
		t.index.addAgent(r)
		t.owners.others.forgetOther(id)
		t.owners.forgetDeparture(id)
		t.fleet.AdmitMember(detector.Member{ID: id, Name: r.Name, IP: r.Registered})
		t.setPassive(id, t.known[id], r.Passive != 0)
		t.updateInfos(rows[i : i+1])
		at := t.clock.Now()
		if !t.owners.proven[id] {
			at = at.Add(-t.wall.ageOfSecond(r.KeepAlive))
		}
		t.reportSighting(id, r.Status, at)
	}
	for _, id := range ids {
		delete(t.owners.proven, id)
	}
}
