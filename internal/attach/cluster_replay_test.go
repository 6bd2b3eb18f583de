package attach

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// clusterPlay is a recording of a real cluster's rows, and what was done to it.
type clusterPlay struct {
	*clusterWorld
	epoch   time.Time // the recording's second 0
	changes []rowChange
	next    int
}

// startPlay starts the recording 25 s before second 0, with a Pulse on each node, and an agent
// where its row was moving then.
func startPlay(w *clusterWorld, name string) *clusterPlay {
	p := &clusterPlay{clusterWorld: w, epoch: time.Now().Truncate(time.Second).Add(time.Minute), changes: readRowChanges(w.t, name)}
	first := p.changes[0].At
	for p.next < len(p.changes) && p.changes[p.next].At <= first {
		p.changes[p.next].apply(w, p.epoch)
		p.next++
	}
	for _, c := range p.changes[p.next:] {
		if c.At < 0 && c.Seen != nil && (c.Node != "m" || w.homeByRow(c.ID) == clusterNames["m"]) {
			w.mu.Lock()
			w.conns[detector.AgentID(c.ID)] = c.Node
			w.been[c.Node][detector.AgentID(c.ID)] = true
			w.mu.Unlock()
		}
	}
	time.Sleep(time.Until(p.at(first)))
	for _, n := range w.nodes {
		n.touch("queue/db/wdb", p.at(first-600))
		n.touch("queue/sockets/remote", p.at(first-600))
		n.startPulse(true)
		w.t.Cleanup(n.stop)
	}
	return p
}

func (w *clusterWorld) homeByRow(id int) (node string) {
	m := w.nodes["m"]
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.db.QueryRow("SELECT node_name FROM agent WHERE id = ?", id).Scan(&node)
	return node
}

func (p *clusterPlay) at(second float64) time.Time {
	return p.epoch.Add(time.Duration(second * float64(time.Second)))
}

// playUntil plays the rows until a second.
func (p *clusterPlay) playUntil(second float64) {
	for p.next < len(p.changes) && p.changes[p.next].At <= second {
		time.Sleep(time.Until(p.at(p.changes[p.next].At)))
		p.changes[p.next].apply(p.clusterWorld, p.epoch)
		p.next++
	}
	time.Sleep(time.Until(p.at(second)))
	synctest.Wait()
}

// play runs a test beside a recording.
func play(t *testing.T, name string, test func(t *testing.T, p *clusterPlay)) {
	t.Helper()
	t.Parallel()
	w := newClusterWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		p := startPlay(w, name)
		test(t, p)
		for _, n := range w.nodes {
			n.stop()
		}
	})
}

// expectOnly checks that of some agents there were no changes of status but those to active at
// one node, each one with the reason that it has moved.
func (p *clusterPlay) expectMoves(from time.Time, to string, ids []detector.AgentID) {
	p.t.Helper()
	for name, n := range p.nodes {
		changes := listChangesOf(n.listChanges(from), ids)
		if name != to {
			if len(changes) > 0 {
				p.t.Errorf("%s: %d changes, the first %+v", name, len(changes), changes[0])
			}
		} else if len(changes) != len(ids) {
			p.t.Errorf("%s: %d changes, want %d", name, len(changes), len(ids))
		}
		for _, d := range changes {
			if d.To != detector.Active || d.Reason != detector.AgentMoved || d.Time.Sub(from) > 6*time.Second {
				p.t.Errorf("%s: %v from %v to %v, %v, after %v", name, d.ID, d.From, d.To, d.Reason, d.Time.Sub(from))
				break
			}
		}
		if n.countVerdicts(detector.OutageBegan, from) > 0 {
			p.t.Errorf("%s: an outage", name)
		}
		if written := n.listWrites(); len(written) > 0 {
			p.t.Errorf("%s: %d rows are written: %s", name, len(written), written[0])
		}
	}
}

func TestSixtyOneAgentsThatABalancerMovesAreNoOutage(t *testing.T) {
	play(t, "w1_to_w2", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		p.playUntil(0.33)
		p.disconnect(moved...)
		p.playUntil(0.5)
		p.connect("w2", moved...)
		p.playUntil(70)
		p.expectMoves(p.at(0), "w2", moved)
	})
}

// Each node knows the names of the others' agents, where its manager has them.
func TestANodeKnowsTheNamesOfAgentsOfOtherNodes(t *testing.T) {
	play(t, "half_open", func(t *testing.T, p *clusterPlay) {
		p.playUntil(-1)
		for node, n := range p.nodes {
			for id := range p.conns {
				if name, _, _ := n.link.Identify(id); name == "" {
					t.Errorf("%s does not know agent %v", node, id)
				}
			}
		}
	})
}

func TestAnAgentThatMovesFromAHungConnectionIsNotLost(t *testing.T) {
	play(t, "half_open", func(t *testing.T, p *clusterPlay) {
		p.playUntil(0.59)
		p.hangUp("w1", 8)
		p.connect("w1", append(agentRange(10, 110), 1, 2)...)
		p.connect("w2", 5, 6)
		p.playUntil(10)
		p.connect("w2", 8)
		p.playUntil(70)
		p.expectMoves(p.at(5), "w2", agentRange(8, 8))
	})
}

func TestAgentsThatMoveWhileRemotedIsStoppedAreNoOutage(t *testing.T) {
	play(t, "remoted_stopped", func(t *testing.T, p *clusterPlay) {
		moved, later := agentRange(11, 70), agentRange(9, 10)
		p.playUntil(0.45)
		p.nodes["w1"].setDown(false, true)
		p.connect("w2", moved...)
		p.playUntil(10.3)
		p.connect("w2", later...)
		p.playUntil(56.8)
		p.nodes["w1"].setDown(false, false)
		p.nodes["w1"].touch("queue/sockets/remote", time.Now())
		p.playUntil(120)
		p.expectMoves(p.at(0), "w2", moved)
		p.expectMoves(p.at(9), "w2", later)
	})
}

func TestAgentsThatMoveFromTheMasterToAWorkerAreNeverDisconnected(t *testing.T) {
	play(t, "master_to_w1", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		p.playUntil(0.59)
		p.disconnect(moved...)
		p.playUntil(0.8)
		p.connect("w1", moved...)
		p.playUntil(70)
		p.expectMoves(p.at(0), "w1", moved)
	})
}

func TestAgentsThatMoveToTheMasterAreSeenThereWithinTheGrace(t *testing.T) {
	play(t, "w2_to_master", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		p.playUntil(0.64)
		p.disconnect(moved...)
		p.playUntil(0.8)
		p.connect("m", moved...)
		p.playUntil(62)
		p.expectMoves(p.at(0), "m", moved)
	})
}

func TestAgentsThatSpreadTheirKeepAlivesMoveToo(t *testing.T) {
	play(t, "master_to_w2", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		p.playUntil(0.8)
		p.disconnect(moved...)
		p.playUntil(1)
		p.connect("w2", moved...)
		p.playUntil(70)
		p.expectMoves(p.at(0), "w2", moved)
	})
}

func TestKillsAndHangsOnWorkersAreFoundAndTheMasterWritesThem(t *testing.T) {
	play(t, "killed", func(t *testing.T, p *clusterPlay) {
		p.playUntil(0.92)
		p.disconnect(1, 5, 6)
		p.hangUp("w1", 2)
		p.playUntil(60)
		for _, want := range []struct {
			node   string
			id     detector.AgentID
			reason detector.Reason
			within time.Duration
		}{{"w1", 1, detector.ConnectionLost, 8 * time.Second}, {"w2", 6, detector.ConnectionLost, 8 * time.Second}, {"w2", 5, detector.AgentShutdown, 4 * time.Second},
			{"w1", 2, detector.NoReason, 32 * time.Second}} {
			changes := listChangesOf(p.nodes[want.node].listChanges(p.at(0)), []detector.AgentID{want.id})
			if len(changes) != 1 || changes[0].To != detector.Disconnected || want.reason != detector.NoReason && changes[0].Reason != want.reason || changes[0].Time.Sub(p.at(0)) > want.within {
				t.Errorf("%s, agent %v: %+v", want.node, want.id, changes)
			}
		}
		p.expectWritten(1, 2, 6)
		if changes := p.nodes["m"].listChanges(p.at(0)); len(changes) > 0 {
			t.Errorf("the master has decided about agents of workers: %+v", changes[0])
		}
	})
}

// Only the Pulse of worker 1 dies. The master's sees by its rows that the manager there works,
// and that one of its agents dies.
func TestWhereOnlyPulseIsGoneTheMasterWatchesTheAgentsByItsRows(t *testing.T) {
	play(t, "w1_to_w2", func(t *testing.T, p *clusterPlay) {
		p.changes = slices.DeleteFunc(p.changes, func(c rowChange) bool { return c.ID == 9 && c.At > -8 && c.Node == "m" })
		m, w2 := p.nodes["m"], p.nodes["w2"]
		p.playUntil(-10)
		p.nodes["w1"].stopPulse()
		p.playUntil(0.33)
		p.connect("w2", agentRange(10, 70)...)
		p.playUntil(1)
		for _, n := range []*clusterNode{m, w2} {
			if alive, known := n.link.IsManagerAlive("worker1"); !alive || !known {
				t.Errorf("%s: alive %v, known %v", n.name, alive, known)
			}
		}
		if alive, known := m.link.IsManagerAlive("worker9"); alive || known {
			t.Error("a node without agents is known to have a manager")
		}
		p.playUntil(6)
		if !m.link.IsCoarse("worker1") || m.link.CoarseNode(3) != "worker1" || m.link.CoarseNode(7) != "" || w2.link.CoarseNode(3) != "" {
			t.Errorf("agent 3 is watched as one of %q", m.link.CoarseNode(3))
		}
		p.playUntil(68)
		changes := m.listChanges(p.at(0))
		if len(changes) != 1 || changes[0].ID != 9 || changes[0].From != detector.Active || changes[0].To != detector.Disconnected || changes[0].Reason != detector.KeepAliveTimeout {
			t.Errorf("%d changes", len(changes))
		}
		if a, ok := m.fleet.Agent(3); !ok || a.Status != detector.Active {
			t.Errorf("%+v", a)
		}
		if asked := m.link.Stats().Requests; asked > 20 { // of its own
			t.Errorf("%d requests", asked)
		}
		p.share.update(func() { p.nodes["w1"].dead = false })
		p.playUntil(71)
		if a, ok := m.fleet.Agent(3); ok || m.link.CoarseNode(3) != "" {
			t.Errorf("still watched: %+v", a)
		}
		if changes := m.listChanges(p.at(0)); len(changes) != 1 {
			t.Errorf("%d changes", len(changes))
		}
	})
}

// All of worker 1 dies, manager and Pulse.
func TestWhereAManagerIsGoneItsRowsStandStill(t *testing.T) {
	play(t, "w1_killed", func(t *testing.T, p *clusterPlay) {
		p.playUntil(0.51)
		p.nodes["w1"].stopPulse()
		p.playUntil(28)
		for _, name := range []string{"m", "w2"} {
			if alive, known := p.nodes[name].link.IsManagerAlive("worker1"); alive || !known {
				t.Errorf("%s: alive %v, known %v", name, alive, known)
			}
			if alive, _ := p.nodes[name].link.IsManagerAlive("worker2"); !alive {
				t.Errorf("%s: worker 2 is not alive", name)
			}
		}
		p.playUntil(60)
		for name, n := range p.nodes {
			if changes := n.listChanges(p.at(0)); len(changes) > 0 {
				t.Errorf("%s: %+v", name, changes[0])
			}
		}
	})
}

// expectWritten checks that the master has written the losses of these agents, each once, and
// the workers nothing.
func (p *clusterPlay) expectWritten(ids ...detector.AgentID) {
	p.t.Helper()
	got := make(map[int]int)
	for name, n := range p.nodes {
		for _, text := range n.listWrites() {
			var w struct {
				ID   int    `json:"id"`
				Sync string `json:"sync_status"`
			}
			if err := json.Unmarshal([]byte(text), &w); err != nil || name != "m" || w.Sync != "synced" {
				p.t.Errorf("%s has written %s", name, text)
			}
			got[w.ID]++
		}
	}
	want := make(map[int]int)
	for _, id := range ids {
		want[int(id)] = 1
	}
	if !maps.Equal(got, want) {
		p.t.Errorf("written were %v, want %v", got, want)
	}
}

// A new agent starts on a worker, and dies before its first keep-alive there.
func TestANewAgentIsWatchedFromItsFirstSecond(t *testing.T) {
	play(t, "w1_killed", func(t *testing.T, p *clusterPlay) { // whose first 25 s are calm
		p.playUntil(-20)
		now := time.Now().Unix()
		p.nodes["w2"].setRow(111, map[string]any{"connection_status": "pending", "last_keepalive": now})
		p.connect("w2", 111)
		p.playUntil(-16)
		p.disconnect(111)
		p.nodes["m"].setRow(111, map[string]any{"connection_status": "pending"})
		p.playUntil(0)
		changes := listChangesOf(p.nodes["w2"].listChanges(p.at(-25)), []detector.AgentID{111})
		if len(changes) == 0 || changes[len(changes)-1].To != detector.Disconnected || changes[len(changes)-1].Reason != detector.ConnectionLost || changes[0].Time.Sub(p.at(-20)) > 2500*time.Millisecond {
			t.Errorf("%+v", changes)
		}
		for _, name := range []string{"m", "w1"} {
			if changes := listChangesOf(p.nodes[name].listChanges(p.at(-25)), []detector.AgentID{111}); len(changes) > 0 {
				t.Errorf("%s: %+v", name, changes)
			}
		}
	})
}

// Worker 1 knows nothing of what worker 2 says, and asks the master's database.
func TestAWorkerThatIsCutOffFindsMovedAgentsInTheMastersDatabase(t *testing.T) {
	play(t, "w1_to_w2", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		w1 := p.nodes["w1"]
		p.playUntil(-5)
		w1.setCutOff(true)
		p.playUntil(0.33)
		p.disconnect(moved...)
		p.playUntil(0.5)
		p.connect("w2", moved...)
		p.playUntil(40)
		p.expectMoves(p.at(0), "w2", moved)
		if asked := w1.link.locator.asked.Load(); asked == 0 || asked > 20 {
			t.Errorf("the master was asked %d times", asked)
		}
		w1.setCutOff(false)
		p.playUntil(70)
		p.expectMoves(p.at(0), "w2", moved)
	})
}

// Nobody can be asked: what is lost is taken back by the node that has it.
func TestAWorkerThatIsCutOffFromAllLosesAgentsLater(t *testing.T) {
	play(t, "w1_to_w2", func(t *testing.T, p *clusterPlay) {
		moved := agentRange(10, 70)
		w1 := p.nodes["w1"]
		p.playUntil(-5)
		w1.setCutOff(true)
		w1.manager5.mu.Lock()
		w1.noMaster = true
		w1.manager5.mu.Unlock()
		p.playUntil(0.33)
		p.disconnect(moved...)
		p.playUntil(0.5)
		p.connect("w2", moved...)
		p.playUntil(29)
		if changes := w1.listChanges(p.at(0)); len(changes) > 0 {
			t.Errorf("%d changes within the time in which it may be found, the first %+v", len(changes), changes[0])
		}
		p.playUntil(60)
		if changes := w1.listChanges(p.at(0)); len(changes) != len(moved) || changes[0].Reason != detector.ConnectionLost {
			t.Errorf("%d changes", len(changes))
		}
		if asked := w1.link.locator.asked.Load(); asked == 0 || asked > 8 {
			t.Errorf("a clusterd that refuses was asked %d times", asked)
		}
		p.expectWritten()
	})
}
