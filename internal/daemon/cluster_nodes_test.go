package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// quickPace is that of tests in which nodes are lost: after seven beats.
var quickPace = clusterPace{grace: time.Second, beat: 1250 * time.Millisecond, loss: 500 * time.Millisecond}

// nodeEvent is a message about a node.
type nodeEvent struct {
	kind, node, by string
	beat           uint64
	agents         int
}

func (f *movingFleet) readNodeEvents() (list []nodeEvent) {
	f.t.Helper()
	f.readAll("wazuh.xdr.alerts.node_lost", func(m event.Message) {
		l := m.(*event.NodeLostMessage)
		if n := l.Lost; n != nil {
			list = append(list, nodeEvent{"lost", n.Node, n.AnnouncedBy, n.Beat, n.Agents})
			if n.AlertLevel != 13 || n.Since == 0 || n.Manager != event.ManagerUnknown || n.AnnouncedBy != m.Identity().Node {
				f.t.Errorf("%+v", n)
			}
			return
		}
		n := l.Back
		list = append(list, nodeEvent{"back", n.Node, n.AnnouncedBy, n.Beat, n.Agents})
		if n.AlertLevel != 3 || n.AnnouncedBy != n.Node || m.Identity().Node != n.Node {
			f.t.Errorf("%+v", n)
		}
	})
	return list
}

// awaitNodeEvents waits until there are as many messages about nodes, and returns them.
func (f *movingFleet) awaitNodeEvents(n int) (list []nodeEvent) {
	f.t.Helper()
	f.anyNode().await(fmt.Sprintf("%d messages about nodes", n), func() bool {
		list = f.readNodeEvents()
		return len(list) >= n
	})
	return list
}

func (f *movingFleet) anyNode() *testNode {
	for _, name := range []string{"one", "two", "three"} {
		if h := f.nodes[name]; h != nil {
			return h
		}
	}
	panic("there is no node")
}

// stopNode ends a node. Its agents find none, but for those that have a route.
func (f *movingFleet) stopNode(name string) {
	f.t.Helper()
	if err := f.nodes[name].stop(); err != nil {
		f.t.Fatal(err)
	}
	delete(f.nodes, name)
}

// awaitLost waits until the platform has it that agents of node one are lost with it, and
// returns by whom.
func (f *movingFleet) awaitLost(ids ...string) (by string) {
	f.t.Helper()
	for _, id := range ids {
		var got []told
		f.anyNode().await("agent "+id+" is lost with its node", func() bool {
			got = f.readTold(id)[2:]
			return len(got) > 0
		})
		by = got[0].by
		if want := (told{by: by, from: "one", status: event.Disconnected, reason: event.NodeLost}); len(got) != 1 || got[0] != want {
			f.t.Errorf("agent %s: told %v, want %v", id, got, want)
		}
	}
	return by
}

// checkNoLossAlert checks that no agent has an alert of its own.
func (f *movingFleet) checkNoLossAlert() {
	f.t.Helper()
	f.readAll("wazuh.xdr.alerts.agent_disconnected", func(m event.Message) { f.t.Errorf("alert: %+v", m) })
}

func back(by string) told {
	return told{by: by, status: event.Active, reason: event.Reconnected}
}

func TestALostNodeIsAnnouncedOnceAndItsAgentsComeBackWithIt(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 5, quickPace)
	f.balancer.SetRoute("", "nowhere")
	f.balancer.SetRoute("001", "two")
	f.stopNode("one")
	f.awaitAt("two", "001")
	by := f.awaitLost("002", "003", "004", "005")
	f.awaitTold("001", moved("one", "two"))
	lost := f.awaitNodeEvents(1)[0]
	if lost.kind != "lost" || lost.node != "one" || lost.by != by || lost.beat == 0 || lost.agents < 4 {
		t.Errorf("%+v, and agents are lost by %s", lost, by)
	}
	f.awaitState("002", event.Disconnected, by)

	if err := f.agents.Fail("005", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	f.balancer.SetRoute("", "one")
	f.startNode("one")
	f.awaitAt("one", "002", "003", "004")
	for _, id := range f.ids[1:4] {
		f.awaitTold(id, told{by: by, from: "one", status: event.Disconnected, reason: event.NodeLost}, back("one"))
		f.awaitState(id, event.Active, "one")
	}
	all := f.awaitNodeEvents(2)
	if again := all[len(all)-1]; len(all) != 2 || all[0] != lost || again.kind != "back" || again.node != "one" || again.beat != lost.beat {
		t.Errorf("%+v", all)
	}
	f.checkNoLossAlert()
}

func TestANodeThatWasCutOffTakesBackWhatTheOthersSaidOfItsAgents(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, quickPace)
	f.nodes["one"].await("it has stored a sign of life", func() bool { return f.nodes["one"].node.cluster().view().Status().Stored > 4 })
	closed := time.Now()
	f.paths["one"].Close()
	f.nodes["one"].await("it knows that it is cut off", func() bool { return f.nodes["one"].node.cluster().view().Status().CutOff })
	by := f.awaitLost(f.ids...)
	f.paths["one"].Open()
	began := time.Now()
	for _, id := range f.ids {
		f.awaitTold(id, told{by: by, from: "one", status: event.Disconnected, reason: event.NodeLost}, back("one"))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	f.awaitAt("one", f.ids...)
	all := f.awaitNodeEvents(2)
	if len(all) != 2 || all[0].kind != "lost" || all[1].kind != "back" || all[0].beat != all[1].beat || all[1].agents != 3 {
		t.Errorf("%+v", all)
	}
	for _, h := range f.nodes { // nothing is left of it
		h.await("the losses are withdrawn", func() bool {
			claims := h.node.cluster().view().Claims(1)
			return len(claims) == 1 && claims[0].Node == "one"
		})
	}
	f.checkNoLossAlert()
	f.readAll("wazuh.xdr.alerts.node_lost", func(m event.Message) {
		l := m.(*event.NodeLostMessage)
		if since := cmp.Or(l.Lost, l.Back).SinceTime(); since.After(closed.Add(time.Second)) || since.Before(closed.Add(-10*time.Second)) {
			t.Errorf("since %v, and it was cut off at %v: %+v, %+v", since, closed, l.Lost, l.Back)
		}
	})
}

func TestWhileTheServerIsAwayNobodyIsLost(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 3, quickPace)
	for _, p := range f.paths {
		p.Close()
	}
	for _, h := range f.nodes {
		h.await("it knows that it is cut off", func() bool { return h.node.cluster().view().Status().CutOff })
	}
	waitFor(t, after(3*ownership.SilentBeats*quickPace.beat))
	for _, p := range f.paths {
		p.Open()
	}
	for _, h := range f.nodes {
		h.await("it is back", func() bool { return !h.node.cluster().view().Status().CutOff })
	}
	waitFor(t, after(2*ownership.SilentBeats*quickPace.beat))
	if all := f.readNodeEvents(); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	for _, id := range f.ids {
		if got := f.readTold(id); len(got) != 2 {
			t.Errorf("agent %s: %v", id, got)
		}
	}
}

// after returns a channel that is closed after a time.
func after(d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { close(done) })
	return done
}

func TestWhenTheAnnouncerIsLostTooAnotherNodeLosesTheAgents(t *testing.T) {
	t.Parallel()
	pace := quickPace
	pace.loss = 8 * time.Second // longer than it takes to find the announcer lost
	f := startFleet(t, 3, pace)
	f.balancer.SetRoute("", "nowhere")
	f.stopNode("one")
	first := f.awaitNodeEvents(1)[0]
	other := map[string]string{"two": "three", "three": "two"}[first.by]
	f.nodes[other].await("the announcement is known", func() bool { return f.nodes[other].node.cluster().isAnnounced("one", first.beat) })
	f.stopNode(first.by)
	if by := f.awaitLost(f.ids...); by != other {
		t.Errorf("the agents are lost by %s", by)
	}
	all := f.awaitNodeEvents(2)
	if len(all) != 2 || all[0] != first || all[1].node != first.by || all[1].by != other {
		t.Errorf("%+v", all)
	}
	var shown []string
	for _, e := range f.nodes[other].node.history.LatestEvents(100) {
		if e.Kind == history.NodeLost {
			shown = append(shown, e.Cluster.Node)
		}
	}
	if want := []string{first.by, "one"}; !slices.Equal(shown, want) {
		t.Errorf("the dashboard has the losses of %q, want %q", shown, want)
	}
	f.checkNoLossAlert()
}

// isAnnounced reports whether the loss of a node is announced.
func (c *clusterPart) isAnnounced(node string, beat uint64) bool {
	return slices.ContainsFunc(c.shared.Nodes(), func(n ownership.Node) bool {
		return slices.Contains(n.Beat.Told, ownership.Verdict{Node: node, Beat: beat})
	})
}

func TestTwoMachinesWithOneKeyAtTwoNodesAreAnAlert(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, quickPace)
	f.nodes["two"].startAgents("001 agent001 any 0000000000000001\n")
	var got []*event.AgentDuplicatedMessage
	f.anyNode().await("an alert", func() bool {
		got = nil
		f.readAll("wazuh.xdr.alerts.agent_duplicated", func(m event.Message) { got = append(got, m.(*event.AgentDuplicatedMessage)) })
		return len(got) > 0
	})
	d := &got[0].Duplicated
	nodes := []string{d.Machines[0].Node, d.Machines[1].Node}
	slices.Sort(nodes)
	if len(got) != 1 || d.AgentID != "001" || d.AgentName != "agent001" || d.AlertLevel != 10 || got[0].Security.Node != "one" || !slices.Equal(nodes, []string{"one", "two"}) ||
		d.Machines[0].IPAddress != "127.0.0.1" || d.Machines[1].IPAddress != "127.0.0.1" {
		t.Errorf("%d alerts, the first: %+v", len(got), d)
	}
}

func TestTheAlertOfAnAgentOnTwoMachinesComesOnceAnHour(t *testing.T) {
	var d duplicates
	now := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Minute, false}, {duplicatePeriod - time.Second, false}, {duplicatePeriod, true}, {duplicatePeriod + time.Second, false}} {
		if got := d.add(1, now.Add(c.after)); got != c.want {
			t.Errorf("after %v: %v", c.after, got)
		}
	}
	for id := range duplicatesMax + 10 {
		d.add(detector.AgentID(10+id), now)
	}
	if len(d.known) > duplicatesMax {
		t.Errorf("%d agents are remembered", len(d.known))
	}
	if !d.add(5, now.Add(2*duplicatePeriod)) || len(d.known) > 2 {
		t.Errorf("what is over is not forgotten: %d", len(d.known))
	}
}

// While a node is stopped, its agents connect again and again: it then finds all of these
// connections at once.
func TestConnectionsThatWaitedWhileTheNodeWasStoppedAreNoSecondMachine(t *testing.T) {
	t.Parallel()
	h := openTestNode(t, testSettings(t))
	defer h.cancel()
	now := time.Now()
	h.node.handleDecisions([]detector.Decision{{Verdict: detector.Resumed, Pause: time.Minute}})
	d := &h.node.duplicates
	if d.addConnection(1, now.Add(time.Second)) {
		t.Error("an alert a moment after")
	}
	if !d.addConnection(1, now.Add(resumeTime+time.Minute)) || d.addConnection(1, now.Add(resumeTime+2*time.Minute)) {
		t.Error("want one alert of what lasts")
	}
	if err := h.node.close(); err != nil {
		t.Error(err)
	}
}
