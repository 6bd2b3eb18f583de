package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/plural"
)

// clusterTruth is what is true of agents and nodes, and what was told of them.
type clusterTruth struct {
	ids    []string
	names  map[string]string
	out    io.Writer
	start  time.Time
	report *ClusterReport
	agents map[string]*agentTruth
	groups []*group

	wasCut      string // node that is, or was, cut off
	killed      string // node
	killedAt    time.Time
	restartedAt time.Time
	goneWith    int // agents whose hosts died with a node
}

// agentTruth is what is true of an agent, and what was told of it.
type agentTruth struct {
	id            string
	alive         bool
	node          string // it is connected to
	since         time.Time
	endedWith     string // the node with which its host died; "" for none
	unreported    bool   // a change that has to be told
	moving        bool   // that is a move
	reported      event.Status
	reportedBy    string
	lossReported  bool // of the last death
	alertReported bool // of the last death
	leftCut       bool // it has moved away from the node that is cut off
	unsettled     bool // a loss of it is to be put right

	losses         int
	lossReportedAt time.Time // the last of them
}

// group collects messages of a kind, to print them in one line.
type group struct {
	text    string // has %s for the agents
	agents  []string
	began   time.Time
	slowest time.Duration
}

func newClusterTruth(ids []string, names map[string]string, out io.Writer, start time.Time, report *ClusterReport) *clusterTruth {
	t := &clusterTruth{ids: ids, names: names, out: out, start: start, report: report, agents: make(map[string]*agentTruth)}
	for _, id := range ids {
		t.agents[id] = &agentTruth{id: id, alive: true, unreported: true, reported: event.NeverConnected, since: start}
	}
	return t
}

func (t *clusterTruth) allActive() bool {
	for _, a := range t.agents {
		if a.reported != event.Active {
			return false
		}
	}
	return true
}

// allReported reports whether nothing has to be told of agents that live.
func (t *clusterTruth) allReported() bool {
	for _, a := range t.agents {
		if a.alive && a.unreported {
			return false
		}
	}
	return true
}

func (t *clusterTruth) recordMove(id, to string, now time.Time) {
	a := t.agents[id]
	a.node, a.since, a.unreported, a.moving = to, now, true, true
	t.report.Moves++
}

func (t *clusterTruth) recordDeath(id string, now time.Time) {
	a := t.agents[id]
	a.alive, a.since, a.unreported, a.lossReported, a.alertReported = false, now, true, false, false
	t.report.Deaths++
}

func (t *clusterTruth) recordEndWith(id, node string) {
	a := t.agents[id]
	a.alive, a.since, a.unreported, a.lossReported, a.alertReported, a.endedWith = false, time.Now(), true, false, false, node
}

// listEndedWith returns the agents whose hosts died with a node, and are not back.
func (t *clusterTruth) listEndedWith() (ids []string) {
	for _, id := range t.ids {
		if t.agents[id].endedWith != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func (t *clusterTruth) recordReturn(id string) {
	a := t.agents[id]
	a.alive, a.since, a.unreported, a.moving, a.endedWith = true, time.Now(), true, false, ""
}

// handleMessage handles a message of a node as the platform would.
func (t *clusterTruth) handleMessage(subject, node string, m event.Message, now time.Time) {
	alert := strings.Contains(subject, ".alerts.")
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		if alert {
			t.handleAlert(node, &m.StatusChange, now)
		} else {
			t.handleChange(node, &m.StatusChange, now)
		}
	case *event.NodeLostMessage:
		t.handleNode(node, m, now)
	case *event.AgentDuplicatedMessage:
		t.report.FalseAlerts++
		t.printAgent(now, m.Duplicated.AgentID, "→ "+node+": two machines have its key, which is false")
	case *event.FleetOutageMessage:
		t.report.FalseAlerts++
		t.printEvent(now, "→ "+node+": an outage of the fleet, though there is none")
	case *event.NodeConditionMessage:
		c := &m.Condition
		t.printEvent(now, fmt.Sprintf("→ %s: its condition %s %s: %s", node, c.Code, c.State, c.Problem))
	}
}

// handleNode handles the loss of a node, or its return.
func (t *clusterTruth) handleNode(by string, m *event.NodeLostMessage, now time.Time) {
	r := t.report
	switch l, b := m.Lost, m.Back; {
	case l != nil && l.Node == t.killed && t.restartedAt.IsZero():
		after := now.Sub(t.killedAt)
		if r.NodesLost++; r.NodesLost == 1 {
			ms := toMilliseconds(after)
			r.NodeLostAfterMS, r.NodeLostBy = &ms, by
		}
		t.printEvent(now, fmt.Sprintf("→ %s: ALERT, node_lost, level %d: %s is silent, and had %s: known after %v", by, l.AlertLevel, l.Node, plural.CountNoun(l.Agents, "agent"), roundDuration(after)))
	case b != nil && b.Node == t.killed && !t.restartedAt.IsZero():
		after := now.Sub(t.restartedAt)
		if r.NodesBack++; r.NodesBack == 1 {
			ms := toMilliseconds(after)
			r.NodeBackAfterMS = &ms
		}
		t.printEvent(now, fmt.Sprintf("→ %s: node_back, level %d: known after %v", by, b.AlertLevel, roundDuration(after)))
	default:
		r.FalseAlerts++
		t.printEvent(now, fmt.Sprintf("→ %s: a node is lost, or back, which is false: %+v %+v", by, l, b))
	}
}

func (t *clusterTruth) handleChange(node string, c *event.StatusChange, now time.Time) {
	a := t.agents[c.AgentID]
	if a == nil {
		return
	}
	t.report.Changes++
	a.reported, a.reportedBy = c.CurrentStatus, node
	switch c.CurrentStatus {
	case event.Disconnected:
		t.handleLoss(a, node, c, now)
	case event.Active:
		t.handleSight(a, node, c, now)
	}
}

// handleLoss handles the loss of an agent: of one that lives it is false.
func (t *clusterTruth) handleLoss(a *agentTruth, node string, c *event.StatusChange, now time.Time) {
	switch {
	case a.alive && node == t.wasCut && a.leftCut: // it could not know
		a.unsettled = true
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: disconnected, %s: it could not know that it is at %s", node, c.Reason, a.node))
		return
	case a.alive || a.lossReported || (c.Reason == event.NodeLost) != (a.endedWith != ""):
		t.report.FalseLosses++
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: disconnected, %s, though it is at %s", node, c.Reason, a.node))
		return
	case c.Reason == event.NodeLost:
		t.report.AgentsLostWithNode++
		t.addToGroup(now, now.Sub(t.killedAt), fmt.Sprintf("→ %s: %%s disconnected, with node %s", node, a.endedWith), a.id)
	default:
		after := now.Sub(a.since)
		t.report.DeathsReported++
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: disconnected, %s, alert level %d: known after %v", node, c.Reason, c.AlertLevel, roundDuration(after)))
	}
	a.lossReported, a.unreported = true, false
	a.losses++
	a.lossReportedAt = now
}

// handleSight handles that an agent is active.
func (t *clusterTruth) handleSight(a *agentTruth, node string, c *event.StatusChange, now time.Time) {
	after := now.Sub(a.since)
	switch {
	case c.ToNode != "" && a.alive: // what a node that had it puts right
		if a.unsettled {
			t.report.PutRight++
		}
		a.unsettled = false
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: it has moved to %s", node, c.ToNode))
	case c.Reason == event.AgentMoved:
		t.handleMove(a, node, c, now)
	case a.unsettled && c.FromNode == t.wasCut:
		t.report.PutRight++
		a.unsettled = false
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: active, %s from %s", node, c.Reason, c.FromNode))
	case !a.alive || !a.unreported:
		t.report.FalseReturns++
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: active, %s, which is not news", node, c.Reason))
	case c.Reason == event.Connected:
		a.unreported, a.node = false, node
	case a.moving:
		t.report.SlowMoves++
		t.addToGroup(now, after, fmt.Sprintf("→ %s: %%s %s after a move", node, c.Reason), a.id)
		a.unreported = false
	default:
		a.unreported = false
		t.addToGroup(now, after, fmt.Sprintf("→ %s: %%s %s", node, c.Reason), a.id)
	}
}

func (t *clusterTruth) handleMove(a *agentTruth, node string, c *event.StatusChange, now time.Time) {
	if !a.alive || !a.unreported || !a.moving || node != a.node {
		t.report.FalseReturns++
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: moved from %s, which it has not", node, c.FromNode))
		return
	}
	after := now.Sub(a.since)
	a.unreported, a.moving = false, false
	t.report.Moved++
	t.report.SlowestMoveMS = max(t.report.SlowestMoveMS, toMilliseconds(after))
	t.addToGroup(now, after, fmt.Sprintf("→ %s: %%s moved here from %s", node, c.FromNode), a.id)
}

// handleAlert handles an alert of a single agent: of one that lives, or was lost with its
// node, it is false.
func (t *clusterTruth) handleAlert(node string, c *event.StatusChange, now time.Time) {
	a := t.agents[c.AgentID]
	if a == nil {
		return
	}
	t.report.Alerts++
	if a.alive || a.endedWith != "" || a.alertReported {
		t.report.FalseAlerts++
		t.printAgent(now, a.id, fmt.Sprintf("→ %s: ALERT, which is false, level %d, %s", node, c.AlertLevel, c.Reason))
		return
	}
	a.alertReported = true
	t.printAgent(now, a.id, fmt.Sprintf("→ %s: ALERT, level %d: %s", node, c.AlertLevel, explainAlert(c)))
}

// findMissed finds what was not told though there was time.
func (t *clusterTruth) findMissed(end time.Time) {
	for _, id := range t.ids {
		a := t.agents[id]
		if a.unsettled {
			t.report.FalseLosses++
		}
		if !a.unreported || a.endedWith != "" && end.Sub(a.since) < lostWithTime || a.endedWith == "" && end.Sub(a.since) < slowest+clusterGrace {
			continue
		}
		what := "death"
		if a.alive && a.moving {
			what = "move"
		} else if a.alive {
			what = "return"
		}
		t.report.Missed = append(t.report.Missed, fmt.Sprintf("%s (%s)", id, what))
	}
}

// compareStates returns what is wrong with the stored state of an agent.
func (t *clusterTruth) compareStates(id string, s storedState) (wrong []string) {
	a := t.agents[id]
	if a.unreported { // it is in the report's other fields, or there was no time
		return nil
	}
	want := event.Active
	if !a.alive {
		want = event.Disconnected
	}
	if s.bucket.Status != want || a.alive && s.bucket.Node != a.node {
		wrong = append(wrong, fmt.Sprintf("%v, by %s, in %s", s.bucket.Status, s.bucket.Node, event.AgentsBucket))
	}
	if s.last.CurrentStatus != want {
		wrong = append(wrong, fmt.Sprintf("%v in the last message", s.last.CurrentStatus))
	}
	return wrong
}

// addToGroup adds an agent to a line that is printed soon.
func (t *clusterTruth) addToGroup(now time.Time, after time.Duration, text, id string) {
	i := slices.IndexFunc(t.groups, func(g *group) bool { return g.text == text })
	if i < 0 {
		t.groups = append(t.groups, &group{text: text, began: now})
		i = len(t.groups) - 1
	}
	g := t.groups[i]
	g.agents, g.slowest = append(g.agents, id), max(g.slowest, after)
}

// printGroups prints the lines that have been collected for long enough.
func (t *clusterTruth) printGroups(now time.Time) {
	t.groups = slices.DeleteFunc(t.groups, func(g *group) bool {
		if now.Sub(g.began) < groupWindow {
			return false
		}
		who, last := t.names[g.agents[0]], ""
		if n := len(g.agents); n > 1 {
			who, last = fmt.Sprintf("%d agents", n), "the last "
		}
		t.printEvent(g.began, fmt.Sprintf(g.text, who)+fmt.Sprintf(": %sknown after %v", last, roundDuration(g.slowest)))
		return true
	})
}

func (t *clusterTruth) printEvent(now time.Time, what string) {
	fmt.Fprintf(t.out, "%6.1fs  %s\n", now.Sub(t.start).Seconds(), what)
}

func (t *clusterTruth) printAgent(now time.Time, id, what string) {
	t.printEvent(now, fmt.Sprintf("%-11s %s", t.names[id], what))
}
