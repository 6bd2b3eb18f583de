package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/relay"
)

// replicatedFleet is agents behind a balancer, three nodes, and three NATS servers in
// processes of their own. Each node has a path to each server.
type replicatedFleet struct {
	*movingFleet
	r       *rand.Rand
	servers []*serverChild
	ways    map[string][]*relay.Path
	stopped map[string]bool // agents that have been shut down
}

var replicatedNodes = []string{"one", "two", "three"}

func startReplicatedFleet(t *testing.T, r *rand.Rand, agents int) *replicatedFleet {
	t.Helper()
	f := &replicatedFleet{movingFleet: &movingFleet{t: t, nodes: map[string]*testNode{}}, r: r, ways: map[string][]*relay.Path{}, stopped: map[string]bool{}}
	f.servers, f.js = startServers(t)
	var text strings.Builder
	for i := range agents {
		f.ids = append(f.ids, fmt.Sprintf("%03d", i+1))
		fmt.Fprintf(&text, "%s agent%s any %016d\n", f.ids[i], f.ids[i], i+1)
	}
	var at []relay.Node
	for _, name := range replicatedNodes {
		cfg := patientSettings(t)
		cfg.Pulse.NodeName, cfg.Pulse.HTTP, cfg.Cluster.Enabled = name, "", true
		cfg.KeepAlive.Interval, cfg.KeepAlive.OutageShare = time.Second, 30
		writeKeys(t, cfg, text.String())
		var urls []string
		for _, s := range f.servers {
			p, err := relay.OpenPath(fmt.Sprintf("127.0.0.1:%d", s.Port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			f.ways[name] = append(f.ways[name], p)
			urls = append(urls, "nats://"+p.Addr())
		}
		cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = strings.Join(urls, ","), 50*time.Millisecond
		// No agent is lost, however busy the machine is: what is lost here was shut down.
		h := openClusterNode(t, cfg, clusterPace{grace: patientGrace, beat: time.Second})
		h.startNode()
		f.nodes[name] = h
		at = append(at, relay.Node{Name: name, Addr: h.node.AgentAddr().String()})
	}
	var err error
	if f.balancer, err = relay.StartBalancer(at...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.balancer.Close)
	for i, id := range f.ids {
		f.balancer.SetRoute(id, replicatedNodes[i%len(replicatedNodes)])
	}
	f.startAgents(text.String())
	return f
}

// cutNode cuts a node off from the servers, in a way that it sees or does not.
func (f *replicatedFleet) cutNode(name string, seen bool) {
	f.t.Helper()
	for _, p := range f.ways[name] {
		if !seen {
			p.SetFrozen(true)
		} else if err := p.SetCut(true); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *replicatedFleet) healNode(name string) {
	f.t.Helper()
	for _, p := range f.ways[name] {
		p.SetFrozen(false)
		if err := p.SetCut(false); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *replicatedFleet) moveAgent(id, to string) {
	f.balancer.SetRoute(id, to)
	f.balancer.CutAgent(id)
}

// toggleAgent shuts an agent down, or starts it again.
func (f *replicatedFleet) toggleAgent(id string) {
	f.t.Helper()
	if f.stopped[id] = !f.stopped[id]; !f.stopped[id] {
		if err := f.agents.Revive(id); err != nil {
			f.t.Fatal(err)
		}
	} else if err := f.agents.Fail(id, agentsim.Shutdown); err != nil {
		f.t.Fatal(err)
	}
}

// awaitTruth waits until every node, the bucket of states and the last messages have it as it is.
func (f *replicatedFleet) awaitTruth(when string) {
	f.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(3 * testTimeout); ; {
		wrong := f.findWrong()
		if wrong == "" {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			f.t.Fatalf("%s: %s", when, wrong)
		}
	}
}

func (f *replicatedFleet) findWrong() string {
	homes := f.balancer.Agents()
	for _, id := range f.ids {
		home := homes[id]
		if f.stopped[id] {
			home = ""
		} else if home == "" {
			return "agent " + id + " is not connected yet"
		}
		for name, h := range f.nodes {
			if wrong := h.findWrongOwner(id, home); wrong != "" {
				return fmt.Sprintf("agent %s is at %q, and %s has it as %s", id, home, name, wrong)
			}
		}
		if wrong := f.findWrongState(id, home); wrong != "" {
			return fmt.Sprintf("agent %s is at %q, and %s", id, home, wrong)
		}
	}
	for name, h := range f.nodes {
		if o := h.node.Status().Outbox; o == nil || o.Status.Backlog > 0 {
			return name + " has messages that wait"
		}
	}
	return ""
}

// findWrongOwner returns what is not true of an agent in the node's shared view.
func (h *testNode) findWrongOwner(id, home string) string {
	number, err := detector.ParseID(id)
	if err != nil {
		return err.Error()
	}
	v := h.node.cluster().view()
	if s := v.Status(); s.CutOff || !s.Loaded {
		return fmt.Sprintf("unknown: %+v", s)
	}
	o, ok := v.Owner(ownership.AgentID(number))
	if here := ok && o.Reason == ownership.Here && !o.Lost; here != (home != "") || here && o.Node != home {
		return fmt.Sprintf("%+v, %v", o, ok)
	}
	return ""
}

// findWrongState returns what is not true of an agent in its last message and in PULSE_AGENTS.
func (f *replicatedFleet) findWrongState(id, home string) string {
	want := event.Active
	if home == "" {
		want = event.Disconnected
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	var state event.AgentState
	if err := f.readLast(ctx, "KV_"+event.AgentsBucket, "$KV."+event.AgentsBucket+"."+id, &state); err != nil {
		return "its state cannot be read: " + err.Error()
	}
	if state.Status != want {
		return fmt.Sprintf("its state is %+v", state)
	}
	var last event.StatusChangeMessage
	if err := f.readLast(ctx, "STATUS", "wazuh.xdr.agent."+id+".status_change", &last); err != nil {
		return "its last message cannot be read: " + err.Error()
	}
	if last.StatusChange.CurrentStatus != want {
		return fmt.Sprintf("its last message is %+v", last)
	}
	return ""
}

func (f *replicatedFleet) readLast(ctx context.Context, stream, subject string, into any) error {
	s, err := f.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, into)
}

// readStream returns STATUS, which may have no leader for a while.
func (f *replicatedFleet) readStream(ctx context.Context) jetstream.Stream {
	f.t.Helper()
	for {
		s, err := f.js.Stream(ctx, "STATUS")
		if err == nil {
			return s
		}
		if ctx.Err() != nil {
			f.t.Fatal(err)
		}
	}
}

// checkHistory checks all that STATUS has: each message once, those of a node about an agent in
// their order, and no alert that is false.
func (f *replicatedFleet) checkHistory() {
	t := f.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	s := f.readStream(ctx)
	ids, last, lost := map[string]bool{}, map[string]uint64{}, map[string]int{}
	for next := uint64(1); next <= s.CachedInfo().State.LastSeq; next++ {
		m, err := s.GetMsg(ctx, next)
		for ; err != nil && !errors.Is(err, jetstream.ErrMsgNotFound); m, err = s.GetMsg(ctx, next) { // another replica leads now
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			continue
		}
		if id := m.Header.Get(jetstream.MsgIDHeader); ids[id] {
			t.Errorf("%s is stored twice", id)
		} else {
			ids[id] = true
		}
		body, err := event.Parse(m.Data)
		if err != nil {
			t.Fatalf("%s: %v", m.Data, err)
		}
		of := body.Identity()
		key := m.Subject + " " + of.Node
		if of.Sequence <= last[key] {
			t.Errorf("%s: %d after %d", key, of.Sequence, last[key])
		}
		last[key] = of.Sequence
		switch body := body.(type) {
		case *event.NodeLostMessage: // a machine may be so busy that a node is silent
			if body.Lost != nil {
				lost[body.Lost.Node]++
			} else {
				lost[body.Back.Node]--
			}
		case *event.NodeConditionMessage:
		case *event.StatusChangeMessage:
			if !strings.HasSuffix(m.Subject, ".status_change") {
				t.Errorf("an alert about an agent: %s", m.Data)
			}
		default:
			t.Errorf("what did not happen: %s", m.Data)
		}
	}
	for node, n := range lost {
		if n > 1 || n < 0 {
			t.Errorf("%s was lost %d times more than it came back", node, n)
		}
	}
}

// Of three servers one is killed and started again, and of three nodes one is cut off from all of them, while agents
// move and are shut down. CLUSTER_ROUNDS=50 go test -run OneOfThreeServers -v -timeout 1h ./internal/daemon plays more.
func TestACutOffNodeAndOneOfThreeServersKilledLeaveEverythingTrue(t *testing.T) {
	t.Parallel()
	rounds, err := strconv.Atoi(os.Getenv("CLUSTER_ROUNDS"))
	if err != nil {
		rounds = 1
	}
	seed := rand.Uint64()
	if text := os.Getenv("CLUSTER_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CLUSTER_SEED=%d", seed)
	f := startReplicatedFleet(t, rand.New(rand.NewPCG(seed, 16)), 6)
	f.awaitTruth("the start")
	for round := range rounds {
		began := time.Now()
		server, cut := f.servers[f.r.IntN(len(f.servers))], f.r.IntN(len(replicatedNodes))
		to := replicatedNodes[(cut+1+f.r.IntN(2))%len(replicatedNodes)]
		f.r.Shuffle(len(f.ids), func(i, j int) { f.ids[i], f.ids[j] = f.ids[j], f.ids[i] })
		f.cutNode(replicatedNodes[cut], f.r.IntN(2) == 0)
		server.kill()
		f.toggleAgent(f.ids[0]) // not one that moves: it could not say so
		for i, id := range f.ids[1:4] {
			if f.stopped[id] {
				continue
			}
			if i > 0 { // to and from the node that is cut off, too
				f.moveAgent(id, replicatedNodes[f.r.IntN(len(replicatedNodes))])
				continue
			}
			f.moveAgent(id, to)
			number, _ := detector.ParseID(id)
			f.nodes[to].awaitOwner(ownership.AgentID(number), to)
		}
		server.start(t)
		f.healNode(replicatedNodes[cut])
		f.awaitTruth(fmt.Sprintf("round %d", round))
		f.checkHistory()
		t.Logf("round %d: %v", round, time.Since(began).Round(10*time.Millisecond))
	}
}
