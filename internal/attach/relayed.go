package attach

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// The master of a cluster of Wazuh 5 has the rows of all agents, and none names a node. Those
// of the agents that report to a worker are relayed: the worker sends what changed in its
// own, every ten seconds or so. The master's remoted has no connection to such an agent,
// which shows nothing of it. So an agent of Wazuh 4 is lost by its connection there only if
// remoted has had one; else its rows are watched, as those of the agents that no manager
// of Wazuh 5 can ask. A relayed row is late by the worker's round, which its keep-alives
// show: a reading has them that came after a reading that should have had them.

const (
	// relayRounds is how much later than a row of this node's a relayed one may be: two of
	// the workers' rounds, one of which may fail.
	relayRounds = 20 * time.Second
	// relayDelay is for how much longer than at its own node an agent may be silent in
	// relayed rows: also a worker's daemons are not seen from here, and after a restart of its
	// wazuh-db living agents stand still for 125 s.
	relayDelay = time.Minute
	// relayMargin is how much later than its time a keep-alive is in a row of this node's
	// at most: 1.2 s were seen, and 3.6 s while ten thousand agents were added.
	relayMargin = 5 * time.Second
	// shortOverlap and longOverlap are of how many seconds a master reads what changed again
	// each time, as a relayed row has the worker's times: enough for one round where none is
	// expected, and for some that fail where they are.
	shortOverlap, longOverlap = 15 * time.Second, 35 * time.Second
	// relayMemory is for how long after a row that was relayed others may be.
	relayMemory = 10 * time.Minute
)

// connection is what is known of a connection of an agent to this node's remoted.
type connection uint8

const (
	noConnection connection = iota // there was none since Pulse has started, or since the agent has
	hasConnected                   // there was one
	isRelayed                      // there is none, and the agent's rows are watched
)

// relays is what the link knows of rows that workers send. It belongs to the tracker, but for
// expectedUntil.
type relays struct {
	isMaster5 bool      // this node is the master of a cluster of Wazuh 5; else there are no such rows
	seenUntil time.Time // rows that were relayed have been seen, and count until then
	readAt    time.Time // when the last reading of what changed began

	expectedUntil atomic.Int64 // Unix nanoseconds; until then there may be relayed rows
}

// newRelays returns that of a node that has just started: there may be relayed rows.
func newRelays(home wazuhsock.Home, role wazuhdb.ClusterRole) *relays {
	r := &relays{isMaster5: home.IsWazuh5() && role.IsClustered() && !role.Worker}
	r.expectedUntil.Store(math.MaxInt64)
	return r
}

// mayExist reports whether rows may be relayed, for all that is known.
func (r *relays) mayExist() bool {
	return !r.isMaster5 || time.Now().UnixNano() < r.expectedUntil.Load()
}

// overlap returns for how long before the last reading changes are read again.
func (r *relays) overlap() time.Duration {
	switch {
	case !r.isMaster5:
		return 0
	case r.mayExist():
		return longOverlap
	}
	return shortOverlap
}

// delay returns how much later than other rows a row may be.
func (r *relays) delay() time.Duration {
	if time.Now().Before(r.seenUntil) {
		return relayDelay
	}
	return 0
}

// recordRelayedRow records that a row was one of a worker's.
func (t *tracker) recordRelayedRow() {
	r := t.passive.relays
	r.seenUntil = time.Now().Add(relayMemory)
	r.expectedUntil.Store(r.seenUntil.UnixNano())
	t.updatePassivePace()
}

// awaitRelayedRows has no passive agent given up on a master before its row has changed once
// since Pulse has started, also if it is relayed.
func (t *tracker) awaitRelayedRows() {
	if r := t.passive.relays; r.isMaster5 {
		wait := passiveTimeout(t.passive.throttle) + relayRounds
		r.expectedUntil.Store(time.Now().Add(wait).UnixNano())
		t.fleet.HoldPassive(wait)
	}
}

// checkRowDelay records that a row was relayed if the last reading should have had its
// keep-alive.
func (t *tracker) checkRowDelay(keepAlive int64) {
	r := t.passive.relays
	if !r.isMaster5 || r.readAt.IsZero() || t.passive.isHeld() {
		return
	}
	if since := time.Since(r.readAt); t.wall.ageOfSecond(keepAlive)-since > relayMargin {
		t.recordRelayedRow()
	}
}

// recordConnection records what a request has shown of an agent's connection to remoted. It
// reports whether the agent is relayed, so that nothing else is shown.
func (t *tracker) recordConnection(id detector.AgentID, outcome remoted.Outcome) (relayed bool) {
	a := t.known[id]
	if a == nil || !t.passive.relays.isMaster5 {
		return false
	}
	switch outcome {
	case remoted.Answered, remoted.Silent:
		a.connection, a.unconnected, a.moved = hasConnected, 0, 0
	case remoted.NotConnected:
		if t.owners.isElsewhere(id) { // and it is watched there
			return false
		}
		row := wazuhdb.Row{Status: a.status}
		if a.connection != hasConnected && row.IsConnected() || a.hasMovedAway(t.wall.currentTime().Unix()) {
			t.setRelayed(id, a, true)
			return true
		}
	}
	return a.connection == isRelayed
}

// askForConnection has an agent asked of which it is not known whether remoted has a connection
// to it: when it dies it is too late for that.
func (t *tracker) askForConnection(id detector.AgentID) {
	if a := t.known[id]; a != nil && a.connection == noConnection && t.passive.relays.isMaster5 {
		t.prober.probeAgent(id)
	}
}

// hasMovedAway reports whether the rows of an agent show that it has another node now, as
// remoted has no connection to it at a second. After a stall, wazuh-db writes what has waited
// at once: it takes two signs of life that are apart.
func (a *agent) hasMovedAway(now int64) bool {
	const apart = int64(minSignInterval/time.Second) + 1
	switch {
	case a.unconnected == 0 || a.keepAlive <= a.unconnected:
		a.moved = 0
		if a.unconnected == 0 {
			a.unconnected = now
		}
	case a.moved == 0:
		a.moved = a.keepAlive
	}
	return a.moved > 0 && a.keepAlive >= a.moved+apart
}

// setRelayed records whether an agent is relayed.
func (t *tracker) setRelayed(id detector.AgentID, a *agent, is bool) {
	if a.connection == hasConnected && is { // its rows have moved without a connection
		t.recordRelayedRow()
	}
	a.connection, a.unconnected, a.moved = noConnection, 0, 0
	if is {
		a.connection = isRelayed
	}
	t.setPassive(id, a, is)
}

// endRelay has an agent asked that has started anew, perhaps on this node.
func (t *tracker) endRelay(id detector.AgentID, a *agent, status string) {
	if a.connection == isRelayed && status == wazuhdb.StatusPending {
		t.setRelayed(id, a, false)
		t.prober.probeAgent(id)
	}
}

// markRelayedRows marks the rows of agents that are relayed as those of passive ones.
func markRelayedRows(rows []wazuhdb.Row, known map[detector.AgentID]*agent) {
	for i := range rows {
		if known[rows[i].AgentID()].connection == isRelayed {
			rows[i].Passive = 1
		}
	}
}
