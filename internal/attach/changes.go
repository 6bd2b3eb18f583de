package attach

import (
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

func (t *tracker) applyDatabaseChanges(e changesRead) {
	for i := range e.changes {
		t.applyAgentChange(&e.changes[i])
	}
	if e.complete {
		t.passive.relays.readAt = e.began
		t.countActiveAgents()
	}
}

// applyAgentChange reports what is new in a change; what is known already is skipped.
func (t *tracker) applyAgentChange(c *wazuhdb.Change) {
	reset := false
	for _, id := range c.Agents {
		a := t.known[id]
		if a != nil && t.owners.role.IsMaster() && t.owners.isElsewhere(id) { // its row may be what another node sent
			t.fleet.ReleaseMember(id)
			t.owners.releaseAgent(id)
			t.dropReleased()
			a = nil
		}
		if a == nil {
			t.applyForeignChange(id, c)
			continue
		}
		t.setPassive(id, a, c.Passive || a.connection == isRelayed || a.coarse != "")
		if a.status == c.Status && a.code == c.Code && (a.keepAlive == c.KeepAlive || c.Status == wazuhdb.StatusDisconnected) {
			continue
		}
		was := *a
		a.status, a.code = c.Status, c.Code
		t.recount = t.recount || was.status != c.Status
		if c.Status == wazuhdb.StatusDisconnected {
			reset = t.applyDisconnected(id, &was, c.Code) || reset
			continue
		}
		a.keepAlive = c.KeepAlive
		t.endRelay(id, a, c.Status)
		if c.Passive {
			t.checkRowDelay(c.KeepAlive)
		}
		if c.Status == wazuhdb.StatusActive && was.status != wazuhdb.StatusActive {
			t.arrived = append(t.arrived, id) // it is reported when its address is known
		} else if c.KeepAlive != was.keepAlive {
			t.handleSignOfLife(id, c.Status, c.KeepAlive)
		}
	}
	if reset {
		t.handleStatusReset()
	}
}

// applyDisconnected handles that the manager has an agent as disconnected now, and
// reports whether remoted marked all agents so, because it started.
func (t *tracker) applyDisconnected(id detector.AgentID, was *agent, code int) (reset bool) {
	switch {
	case code == wazuhdb.CodeShutdown:
		t.absences.beginAbsence(id, time.Now(), true)
		t.fleet.Report(detector.Sighting{At: t.clock.Now(), ID: id, Kind: detector.SawShutdown})
	case code == wazuhdb.CodeReset:
		return was.status != wazuhdb.StatusDisconnected
	case (code == wazuhdb.CodeNoKeepAlive || code == wazuhdb.CodeNone) && was.status != wazuhdb.StatusDisconnected:
		if now, ok := t.fleet.Agent(id); t.index.isPassive(id) { // its silence shows whether it is true
		} else if !ok || now.Status != detector.Disconnected { // else the statusWriter did it
			t.prober.probeAgent(id) // monitord did, or it is unknown who: whether it is true, a probe shows
		}
	}
	return false
}

// applyLocatedAgents updates the addresses of agents that have become active, and reports
// them.
func (t *tracker) applyLocatedAgents(e agentsLocated) {
	t.warnings.addSkippedRows(e.skipped)
	if !e.complete {
		return
	}
	for i := range e.rows {
		if id := e.rows[i].AgentID(); slices.Contains(e.ids, id) {
			t.index.setAgentAddr(id, e.rows[i].ParseAddr())
		}
	}
	t.updateInfos(e.rows)
	for _, id := range e.ids {
		if a := t.known[id]; a != nil && a.status != wazuhdb.StatusDisconnected {
			t.handleSignOfLife(id, a.status, a.keepAlive)
		}
	}
	t.admitAgents(e.ids, e.rows)
	t.arrived = t.arrived[min(len(e.ids), len(t.arrived)):]
}

// countActiveAgents counts the agents that the database has as active, if that may have changed.
func (t *tracker) countActiveAgents() {
	if !t.recount {
		return
	}
	t.recount = false
	n, passive := int64(0), int64(0)
	for _, a := range t.known {
		if a.status == wazuhdb.StatusActive {
			n++
			if a.passive {
				passive++
			}
		}
	}
	t.active.Store(n)
	t.activePassive.Store(passive)
}

// handleSignOfLife handles that an agent's last keep-alive, or startup, was in a second. Where
// that does not prove that the agent is there, it is probed.
func (t *tracker) handleSignOfLife(id detector.AgentID, status string, second int64) {
	passive := t.index.isPassive(id)
	there, probe := t.absences.recordSignOfLife(id, status, second, passive && time.Now().After(t.passive.doubtUntil))
	if there {
		age := t.wall.ageOfSecond(second)
		t.locator.dropAgent(id)
		t.prober.recordSignOfLife(id, time.Now().Add(-age))
		t.reportSighting(id, status, t.clock.Now().Add(-age))
	}
	if probe && !passive {
		t.probeReturnedAgent(id)
	} else if there && !passive {
		t.askForConnection(id)
	}
}
