package attach

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/removals"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// tracker owns what is known of the agents and of remoted. The other parts send it
// events; in its goroutine, it reports to the detector and has agents probed.
type tracker struct {
	events     eventQueue
	clock      *detector.Clock
	fleet      Fleet
	log        *slog.Logger
	conditions *conditions
	wall       wallClock

	remoted  *remoted.Client
	prober   *prober
	monitor  *remotedMonitor
	reader   *dbReader
	writer   *statusWriter // nil if nothing is to be written
	index    *agentIndex
	absences *absences
	ports    *portSet
	passive  *passiveAgents
	owners   *owners
	nodes    *coarseNodes
	locator  *locator

	maxInFlight  int           // the setting
	timeout      time.Duration // silence after which an agent that was not watched before is away
	holdTime     time.Duration // for agents that vanish together
	restartGrace time.Duration // for agents to come back to a new remoted

	known       map[detector.AgentID]*agent
	held        map[detector.AgentID]heldAgent
	removed     removals.History
	arrived     []detector.AgentID // became active, and are not located
	initialized bool               // all agents were read once
	recount     bool               // who is known, or has a status or is passive, has changed since the active were counted
	warnings    *rowWarnings

	incarnation remoted.Incarnation // of the remoted that agents have had time to come to
	down        bool                // remoted did not answer last

	sessions, active, activePassive atomic.Int64
	inventoryTime, passiveTimeout   atomic.Int64 // nanoseconds
	vanished                        atomic.Pointer[Vanished]
}

// agent is what is known of one.
type agent struct {
	name, registered string
	keepAlive        int64
	status           string
	code             int
	info             unique.Handle[detector.Info] // that the detector has; the zero value before it was set
	passive          bool                         // it cannot be sent a request
	restored         bool                         // known from an earlier run of the node, and not read in this one
	bySight          bool                         // it was seen here, whatever its row names
	coarse           string                       // its node, if its row is watched because the node's Pulse is gone

	connection         connection // to this node's remoted; see relayed.go
	unconnected, moved int64      // Unix seconds: when remoted was found to have none, and of the first sign of life after that
}

// Fleet is the part of the detector that a link uses.
type Fleet interface {
	Report(detector.Sighting)
	SetMembers([]detector.Member)
	AdmitMember(detector.Member)
	ReportRelayed(detector.Sighting) // as Report, and it does not show that the agent is here
	ReleaseMember(detector.AgentID)
	SetInfo(detector.AgentID, detector.Info)
	ExtendGrace(time.Duration)
	SetPassive(id detector.AgentID, is bool)
	SetPassivePace(step, timeout time.Duration)
	HoldPassive(time.Duration)
	Agent(detector.AgentID) (detector.Record, bool)
	Page(n int) (page []detector.Record, more bool)
}

// runTracker handles events until ctx ends.
func (t *tracker) runTracker(ctx context.Context) {
	for {
		select {
		case e := <-t.events:
			t.handleEvent(e)
		case <-ctx.Done():
			return
		}
	}
}

func (t *tracker) handleEvent(e event) {
	t.dropReleased()
	switch e := e.(type) {
	case connClosed:
		t.handleClosedConn(e)
	case connOpened:
		t.handleOpenedConns(e.count)
	case requestEnded:
		t.handleRequestOutcome(e)
	case remotedDown:
		t.handleRemotedDown(e)
	case remotedUp:
		t.handleRemotedUp(e)
	case remotedReady:
		t.handleRemotedReady(e)
	case readStep:
		t.handleEvent(e.found)
		e.reply <- readPlan{inventoryPeriod: t.nextInventoryPeriod(), locate: t.listAgentsToLocate(), unclear: t.owners.unclear,
			adopt: t.updateCoarseNodes(), scope: wazuhdb.Scope{Nodes: t.owners.listCoarseNodes(), All: t.owners.isOpenedLately()}, overlap: t.passive.relays.overlap()}
	case inventoryRead:
		t.applyInventory(e)
	case changesRead:
		t.applyDatabaseChanges(e)
	case agentsLocated:
		t.applyLocatedAgents(e)
	case nodeAgentsRead:
		t.applyNodeAgents(e)
	case agentsElsewhere:
		t.applyElsewhere(e)
	case presenceRead:
		t.applyPresence(e)
	case databaseStarted:
		t.handleDaemonStarted(e.at)
	case databaseDown:
		t.holdPassiveAgents()
	case databaseRead:
		t.updatePassivePace()
		for _, id := range t.absences.takeUnprobedAgents() {
			t.probeReturnedAgent(id)
		}
	}
}

// handleClosedConn has agents probed whose connection may have ended, and the database
// read, which has whether they were shut down.
func (t *tracker) handleClosedConn(e connClosed) {
	for _, id := range e.agents {
		t.prober.handleClosedConn(id)
	}
	t.reader.wake.Send()
}

// handleOpenedConns has the database read, which has who has opened a connection.
func (t *tracker) handleOpenedConns(n int) {
	t.owners.recordOpenedConns(n)
	t.reader.wake.Send()
}

// listAgentsToLocate returns the agents whose rows are to be read one by one.
func (t *tracker) listAgentsToLocate() []detector.AgentID {
	if len(t.owners.arriving) > 0 {
		t.arrived = append(t.arrived, t.owners.arriving...)
		t.owners.arriving = nil
	}
	return t.arrived
}

func (t *tracker) handleRequestOutcome(e requestEnded) {
	t.prober.countRequestOutcome(e.outcome, e.err)
	proves := true
	switch {
	case e.outcome == remoted.Absent:
		t.monitor.wake.Send()
	case e.outcome != remoted.Answered && t.prober.isStale(e.request): // it is of an earlier visit
	case t.known[e.id] == nil && t.owners.role.IsClustered():
		t.handleForeignOutcome(e)
	default:
		proves = t.applyRequestOutcome(e)
	}
	t.prober.finishRequest(e.request, e.outcome)
	if !proves { // it was sent before the agent was given up
		t.prober.probeAgent(e.id)
	}
}

// applyRequestOutcome reports what a request has shown that an agent has answered, or that
// has no connection to remoted. It returns whether an answer is a sign of life.
func (t *tracker) applyRequestOutcome(e requestEnded) (proves bool) {
	proves = true
	relayed := t.recordConnection(e.id, e.outcome)
	switch e.outcome {
	case remoted.Answered:
		if proves = t.acceptProbeAnswer(e.id, e.sent); proves {
			t.locator.dropAgent(e.id)
			t.fleet.Report(detector.Sighting{At: e.at, ID: e.id, Token: e.token, Kind: detector.SawAnswer})
		}
	case remoted.NotConnected:
		t.checkRemotedRestart() // a new remoted has no connections yet
		if relayed {
			break
		}
		if !t.index.isPassive(e.id) { // it became passive meanwhile: that shows nothing
			t.absences.markAgentUnconnected(e.id, e.sent)
		}
		if !t.index.isPassive(e.id) && t.prober.isFirstClosed(e.id) {
			t.reportClosed(e)
		}
	}
	return proves
}

// reportClosed reports that an agent has no connection any more. It may be that only the
// master knows that it has moved.
func (t *tracker) reportClosed(e requestEnded) {
	closed := detector.Sighting{At: e.at, ID: e.id, Kind: detector.SawClosed}
	if search := t.locator.addAgent(e.id); search > 0 {
		closed.Kind, closed.Token = detector.ClosedInDoubt, uint32(search/time.Second)
	}
	t.fleet.Report(closed)
}

// handleRemotedDown stops probing. While remoted does not answer, agents lose no time.
func (t *tracker) handleRemotedDown(e remotedDown) {
	t.down = true
	t.prober.setSendingHalted(true)
	t.prober.handleSlowRemoted()
	t.fleet.ExtendGrace(t.restartGrace)
	t.holdPassiveAgents()
	t.conditions.setDaemonCondition("wazuh-remoted", e.err)
}

func (t *tracker) handleRemotedUp(e remotedUp) {
	if e.slow {
		t.prober.handleSlowRemoted()
	}
	t.sessions.Store(e.sessions)
	t.checkRemotedRestart()
}

// handleRemotedReady resumes probing.
func (t *tracker) handleRemotedReady(e remotedReady) {
	if s := e.settings; s != nil {
		most := max(min(t.maxInFlight, s.Pool/poolShare), 1)
		t.prober.setRequestLimits(most, s.ResponseTimeout)
		t.ports.replacePorts(s.Ports)
		t.log.Info("attached to wazuh-remoted", "request_pool", s.Pool, "max_in_flight", most, "response_timeout", s.ResponseTimeout.String(),
			"agents_at", fmt.Sprint(s.Ports), "settings_read", e.err == nil)
	}
	if t.down {
		t.down = false
		t.fleet.ExtendGrace(t.restartGrace)
		t.holdPassiveAgents()
	}
	t.prober.setSendingHalted(false)
	t.conditions.setDaemonCondition("wazuh-remoted", nil)
}

// checkRemotedRestart finds out whether remoted has been restarted. Then all agents have to
// come back to it.
func (t *tracker) checkRemotedRestart() {
	now := t.remoted.ReadIncarnation()
	if now == t.incarnation || now == (remoted.Incarnation{}) {
		return
	}
	first := t.incarnation == (remoted.Incarnation{})
	t.incarnation = now
	if first {
		t.handleDaemonStarted(now.Started)
		return
	}
	t.log.Warn("wazuh-remoted has been restarted: its agents have time to come back", "for", t.restartGrace.String())
	t.prober.awaitAgentReturns(now.Started, t.restartGrace)
	t.handleStatusReset()
}

// handleStatusReset gives the agents time to come back, and has remoted checked: it has
// marked all of them disconnected, as it does when it starts.
func (t *tracker) handleStatusReset() {
	t.fleet.ExtendGrace(t.restartGrace)
	t.holdPassiveAgents()
	t.monitor.wake.Send()
}

// probeReturnedAgent has an agent probed that may be back.
func (t *tracker) probeReturnedAgent(id detector.AgentID) {
	if !t.prober.probeReturnedAgent(id) {
		t.absences.markAgentUnprobed(id)
	}
}

// acceptProbeAnswer takes an agent's answer to a request that was sent at a time, and reports
// whether it is a sign of life. If the agent was gone, it is back.
func (t *tracker) acceptProbeAnswer(id detector.AgentID, sent time.Time) bool {
	over, proves := t.absences.endByAnswer(id, sent)
	if over != nil && over.needsProof {
		at := t.clock.Now()
		if over.lastSecond > 0 { // and not before it was gone, by a second that is cut off
			at = at.Add(-min(t.wall.ageOfSecond(over.lastSecond), time.Since(over.since)))
		}
		t.reportSighting(id, over.status, at)
	}
	return proves
}

// reportSighting reports a keep-alive or startup.
func (t *tracker) reportSighting(id detector.AgentID, status string, at detector.Instant) {
	kind := detector.SawKeepAlive
	if status == wazuhdb.StatusPending {
		kind = detector.SawStartup
	}
	s := detector.Sighting{At: at, ID: id, Kind: kind, Addr: t.index.addrOfAgent(id)}
	if a := t.known[id]; a != nil && a.coarse != "" {
		t.fleet.ReportRelayed(s)
		return
	}
	t.fleet.Report(s)
}
