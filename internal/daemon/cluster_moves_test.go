package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/relay"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// patientGrace is that of agents that are not to be lost within a test, however busy the
// machine is.
const patientGrace = 2 * testTimeout

// movingFleet is agents behind a balancer, and three nodes of a cluster at one server, each
// by a path of its own.
type movingFleet struct {
	t        *testing.T
	xdr      *server.Server
	stream   jetstream.Stream
	settings map[string]*config.Config
	pace     clusterPace
	js       jetstream.JetStream
	nodes    map[string]*testNode
	paths    map[string]*testsupport.Path
	balancer *relay.Balancer
	agents   *agentsim.Fleet
	ids      []string
}

// startMovingFleet starts agents that are all at node one.
func startMovingFleet(t *testing.T, agents int, grace time.Duration) *movingFleet {
	t.Helper()
	return startFleet(t, agents, clusterPace{grace: grace, beat: 2 * time.Second}) // no node is lost, however busy the machine is
}

func startFleet(t *testing.T, agents int, pace clusterPace) *movingFleet {
	t.Helper()
	xdr := far(t)
	f := &movingFleet{t: t, xdr: xdr, pace: pace, stream: stored(t, xdr), nodes: make(map[string]*testNode), paths: make(map[string]*testsupport.Path), settings: make(map[string]*config.Config)}
	_, f.js = testsupport.ConnectNATS(t, xdr.ClientURL())
	keys := new(strings.Builder)
	for id := 1; id <= agents; id++ {
		f.ids = append(f.ids, fmt.Sprintf("%03d", id))
		fmt.Fprintf(keys, "%03d agent%03d any %016d\n", id, id, id)
	}
	var at []relay.Node
	for _, name := range []string{"one", "two", "three"} {
		f.paths[name] = testsupport.OpenPath(t, xdr.Addr().String())
		cfg := clusterSettings(t, xdr, name, keys.String())
		cfg.NATS.ServerURL = "nats://" + f.paths[name].Addr
		f.settings[name] = cfg
		at = append(at, relay.Node{Name: name, Addr: f.startNode(name).node.AgentAddr().String()})
	}
	for _, h := range f.nodes {
		h.await("the shared view is read", func() bool { return h.node.cluster().view().IsLoaded() })
	}
	var err error
	if f.balancer, err = relay.StartBalancer(at...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.balancer.Close)
	f.balancer.SetRoute("", "one")
	f.startAgents(keys.String())
	f.awaitAt("one", f.ids...)
	for _, id := range f.ids[max(0, len(f.ids)-5):] {
		f.awaitTold(id)
	}
	return f
}

// startNode starts a node, or starts it again.
func (f *movingFleet) startNode(name string) *testNode {
	f.t.Helper()
	h := openClusterNode(f.t, f.settings[name], f.pace)
	f.settings[name].Remote.Port = int(h.node.AgentAddr().Port()) // the next time too
	h.startNode()
	f.nodes[name] = h
	return h
}

func (f *movingFleet) startAgents(keys string) {
	f.t.Helper()
	set, _, err := clientkeys.Parse(strings.NewReader(keys))
	if err != nil {
		f.t.Fatal(err)
	}
	f.agents, err = agentsim.New(agentsim.Config{Manager: f.balancer.Addr(), Keys: set.Keys(), Notify: 500 * time.Millisecond, Retry: 50 * time.Millisecond})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.agents.Run(ctx) })
	f.t.Cleanup(func() { cancel(); running.Wait() })
}

// awaitAt waits until all nodes know that a node has the agents, and have no doubt.
func (f *movingFleet) awaitAt(name string, ids ...string) {
	f.t.Helper()
	for node, h := range f.nodes {
		h.await(fmt.Sprintf("%s knows that %d agents are at %s", node, len(ids), name), func() bool {
			for _, id := range ids {
				number, _ := detector.ParseID(id)
				o, _ := h.node.cluster().view().Owner(ownership.AgentID(number))
				r, _ := h.node.detector.Agent(number)
				if o.Node != name || o.Reason != ownership.Here || node == name && r.Status != detector.Active || node != name && !r.Elsewhere {
					return false
				}
			}
			return true
		})
	}
}

// told is one status change as the platform has it.
type told struct {
	by, from, to string // nodes
	status       event.Status
	reason       event.Reason
}

func (c told) String() string {
	return fmt.Sprintf("%s by %s: %s from %q to %q", c.status, c.by, c.reason, c.from, c.to)
}

// readTold returns all status changes of an agent, in the platform's order.
func (f *movingFleet) readTold(id string) (list []told) {
	f.t.Helper()
	f.readMessages("wazuh.xdr.agent."+id+".status_change", func(m *event.StatusChangeMessage) {
		c := &m.StatusChange
		list = append(list, told{m.Security.Node, c.FromNode, c.ToNode, c.CurrentStatus, c.Reason})
		if c.ClusterOrder == 0 {
			f.t.Errorf("%s: no order", list[len(list)-1])
		}
	})
	return list
}

// readMessages reads all status changes that are stored under a subject.
func (f *movingFleet) readMessages(subject string, each func(*event.StatusChangeMessage)) {
	f.t.Helper()
	f.readAll(subject, func(m event.Message) {
		if change, ok := m.(*event.StatusChangeMessage); ok {
			each(change)
		} else {
			f.t.Errorf("%s: %+v", subject, m)
		}
	})
}

// readAll reads all messages that are stored under a subject.
func (f *movingFleet) readAll(subject string, each func(event.Message)) {
	f.t.Helper()
	for next := uint64(1); ; {
		m, err := f.stream.GetMsg(f.t.Context(), next, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return
		}
		if err != nil {
			f.t.Fatal(err)
		}
		parsed, err := event.Parse(m.Data)
		if err != nil {
			f.t.Fatal(err)
		}
		each(parsed)
		next = m.Sequence + 1
	}
}

// awaitTold waits until the platform has all that the nodes have decided, and then compares
// an agent's status changes after the first ones, by which it came to node one.
func (f *movingFleet) awaitTold(id string, want ...told) {
	f.t.Helper()
	var got []told
	f.anyNode().await("the platform has the changes of "+id, func() bool {
		got = f.readTold(id)
		return len(got) >= 2+len(want)
	})
	if got = got[2:]; !slices.Equal(got, want) { // after pending and active
		f.t.Errorf("agent %s: told %v, want %v", id, got, want)
	}
}

// awaitState waits until PULSE_AGENTS has an agent as a node told it.
func (f *movingFleet) awaitState(id string, status event.Status, node string) {
	f.t.Helper()
	bucket, err := f.js.KeyValue(f.t.Context(), event.AgentsBucket)
	if err != nil {
		f.t.Fatal(err)
	}
	var s event.AgentState
	f.anyNode().await(fmt.Sprintf("PULSE_AGENTS has %s as %v at %s", id, status, node), func() bool {
		e, err := bucket.Get(f.t.Context(), id)
		return err == nil && json.Unmarshal(e.Value(), &s) == nil && s.Status == status && cmp.Or(s.ToNode, s.Node) == node
	})
}

// checkNoAlert checks that there is no alert about an agent, and no outage.
func (f *movingFleet) checkNoAlert() {
	f.t.Helper()
	for _, name := range []string{"agent_disconnected", "fleet_outage", "agent_duplicated"} {
		f.readMessages("wazuh.xdr.alerts."+name, func(m *event.StatusChangeMessage) { f.t.Errorf("alert: %+v", m.StatusChange) })
	}
}

func moved(from, to string) told {
	return told{by: to, from: from, status: event.Active, reason: event.AgentMoved}
}

func TestAgentsThatMoveAtOnceAreNotLost(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 500, patientGrace)
	f.balancer.SetRoute("", "two")
	f.balancer.CutNode("one")
	f.awaitAt("two", f.ids...)
	for _, id := range f.ids[:20] {
		f.awaitTold(id, moved("one", "two"))
		f.awaitState(id, event.Active, "two")
	}
	disconnected := 0
	f.readMessages("wazuh.xdr.agent.*.status_change", func(m *event.StatusChangeMessage) {
		if m.StatusChange.CurrentStatus == event.Disconnected {
			disconnected++
		}
	})
	if disconnected > 0 {
		t.Errorf("%d messages say that a living agent is disconnected", disconnected)
	}
	f.checkNoAlert()
	if counts := f.nodes["one"].node.detector.Counts().ByStatus; counts != [4]int{} {
		t.Errorf("the node that they left counts %v", counts)
	}
}

func TestAgentsThatMoveOneByOneAndBackAreToldOnceEachTime(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 3, patientGrace)
	at := []string{"one", "two", "three", "one", "three", "two", "one"}
	want := make([]told, 0, len(at))
	for i, to := range at[1:] {
		f.balancer.SetRoute("", to)
		for _, id := range f.ids {
			f.balancer.CutAgent(id)
			f.awaitAt(to, id)
		}
		want = append(want, moved(at[i], to))
	}
	for _, id := range f.ids {
		f.awaitTold(id, want...)
		f.awaitState(id, event.Active, "one")
	}
	f.checkNoAlert()
}

func TestAnAgentWhoseOldConnectionHangsIsNotLost(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 2, patientGrace)
	f.balancer.SetRoute("001", "two")
	f.balancer.HangAgent("001")
	f.awaitAt("two", "001")
	f.awaitTold("001", moved("one", "two"))
	f.checkNoAlert()
}

func TestAnAgentThatDiesWhileItMovesIsLostOnce(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 2, time.Second)
	f.balancer.SetRoute("001", "two")
	if err := f.agents.Fail("001", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	f.awaitTold("001", told{by: "one", status: event.Disconnected, reason: event.ConnectionLost})
	f.awaitState("001", event.Disconnected, "one")
	for _, h := range f.nodes {
		h.await("the loss is known", func() bool {
			o, _ := h.node.cluster().view().Owner(1)
			return o.Node == "one" && o.Reason == ownership.Lost
		})
	}
}

func TestAnAgentThatMovesSlowerThanTheGraceIsOneLossAndOneReturn(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 2, 300*time.Millisecond)
	f.loseAgent("001")
	f.nodes["two"].await("the loss is known", func() bool {
		o, _ := f.nodes["two"].node.cluster().view().Owner(1)
		return o.Reason == ownership.Lost
	})
	f.balancer.SetRoute("001", "two")
	f.awaitAt("two", "001")
	f.awaitTold("001", told{by: "one", status: event.Disconnected, reason: event.ConnectionLost},
		told{by: "two", from: "one", status: event.Pending, reason: event.Startup}, told{by: "two", status: event.Active, reason: event.Reconnected})
	f.awaitState("001", event.Active, "two")
}

// loseAgent has an agent lost that finds no node.
func (f *movingFleet) loseAgent(id string) {
	f.t.Helper()
	number, _ := detector.ParseID(id)
	f.balancer.SetRoute(id, "nowhere")
	f.balancer.CutAgent(id)
	one := f.nodes["one"]
	one.await("the agent is lost", func() bool {
		r, _ := one.node.detector.Agent(number)
		return r.Status == detector.Disconnected
	})
}

func TestALossThatArrivesAfterTheReturnElsewhereIsTakenBack(t *testing.T) {
	t.Parallel()
	f := startMovingFleet(t, 2, 300*time.Millisecond)
	f.paths["one"].Close()
	f.loseAgent("001")
	f.balancer.SetRoute("001", "two")
	f.nodes["two"].awaitOwner(1, "two")
	f.awaitTold("001", moved("one", "two"))
	f.paths["one"].Open()
	f.awaitAt("two", "001")
	var got []told
	f.anyNode().await("the loss is taken back", func() bool {
		got = f.readTold("001")[2:]
		return len(got) > 2
	})
	lost := []told{moved("one", "two"), {by: "one", status: event.Disconnected, reason: event.ConnectionLost}}
	byOne, byTwo := told{by: "one", to: "two", status: event.Active, reason: event.AgentMoved}, told{by: "two", from: "one", status: event.Active, reason: event.Reconnected}
	if !slices.Equal(got[:2], lost) || got[2] != byOne && got[2] != byTwo { // by who has read of the other first
		t.Errorf("told %v", got)
	}
	f.awaitState("001", event.Active, "two")
	f.checkNoAlert()
}
