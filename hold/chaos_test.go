package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// A longer run: CHAOS_ROUNDS=100 go test -run Chaos -v -timeout 1h ./internal/daemon
const (
	chaosRoundsEnv = "CHAOS_ROUNDS"
	chaosSeedEnv   = "CHAOS_SEED"
)

func chaosNumber(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Real nodes, behind a load balancer and at real NATS servers, are killed and cut off, have
// slow links and wrong clocks, and servers are killed, while agents die and move. After each
// round every node, the buckets and the history of messages agree with the truth, and no
// alert was false.
func TestChaosOfAClusterLeavesEverythingTrue(t *testing.T) {
	rounds, seed := chaosNumber(t, chaosRoundsEnv, 2), chaosNumber(t, chaosSeedEnv, rand.Uint64())
	for i, s := range []struct {
		name                   string
		servers, nodes, agents int
		share                  uint64 // of the rounds, in percent
	}{
		{"one server", 1, 3, 15, 50},
		{"three servers", 3, 4, 15, 25},
		{"seven nodes", 1, 7, 19, 25},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			n := rounds * s.share / 100
			if n == 0 {
				t.Skip("too few rounds")
			}
			t.Logf("seed %d", seed+uint64(i))
			w := newChaosWorld(t, rand.New(rand.NewPCG(seed+uint64(i), 16)), s.servers, s.nodes, s.agents)
			w.awaitTruth("the start")
			for round := range n {
				w.playRound()
				w.healAll()
				took := w.awaitTruth(fmt.Sprintf("round %d", round))
				w.history.check()
				t.Logf("round %d: all is true %v after its end; %s", round, took.Round(10*time.Millisecond), w.history)
			}
		})
	}
}

// playRound has things happen, one after the other.
func (w *chaosWorld) playRound() {
	for range 20 {
		n := w.pickNode()
		switch w.r.IntN(14) {
		case 0:
			w.setCut(n, !n.cut)
		case 1:
			w.setDelay(n, time.Duration(w.r.IntN(30))*time.Millisecond)
		case 2:
			if w.countUp() > 2 {
				w.killNode(n)
			}
		case 3:
			for _, n := range w.nodes {
				if n.down {
					w.startAgain(n)
				}
			}
		case 4:
			w.crashPulse(n)
		case 5:
			if w.r.IntN(3) == 0 {
				w.restartServer(w.r.IntN(len(w.servers)), time.Duration(w.r.IntN(1500))*time.Millisecond)
			}
		case 6:
			w.drainNode(n)
		case 7, 8:
			w.toggleAgent(w.pickAgent())
		default:
			w.moveAgent(w.pickAgent())
		}
		<-time.After(time.Duration(w.r.IntN(250)) * time.Millisecond)
	}
}

func (w *chaosWorld) countUp() (up int) {
	for _, n := range w.nodes {
		if !n.down {
			up++
		}
	}
	return up
}

// chaosPatience is how long all may take to be true: far longer than on a quiet machine.
const chaosPatience = time.Minute

// awaitTruth waits until everything is true, and returns how long that took.
func (w *chaosWorld) awaitTruth(when string) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		wrong := w.findWrong()
		if wrong == "" {
			return time.Since(began)
		}
		if time.Since(began) > chaosPatience {
			w.t.Fatalf("%s: %s", when, wrong)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// findWrong returns what is not true.
func (w *chaosWorld) findWrong() string {
	homes := w.balancer.Agents()
	for _, id := range w.ids {
		home := homes[id]
		if w.dead[id] {
			home = ""
		} else if home == "" {
			return "agent " + id + " is not connected yet"
		}
		for _, n := range w.nodes {
			if wrong := n.findWrong(id, home); wrong != "" {
				return fmt.Sprintf("agent %s is at %q, and %s has it as %s", id, home, n.name, wrong)
			}
		}
		if wrong := w.findWrongStored(id, home); wrong != "" {
			return fmt.Sprintf("agent %s is at %q, and %s", id, home, wrong)
		}
	}
	for _, n := range w.nodes {
		if s := n.node.Status(); s.Outbox.Status.Backlog > 0 {
			return n.name + " has messages that wait"
		}
	}
	return ""
}

// findWrong returns what is not true of an agent in the node's view.
func (n *chaosNode) findWrong(id, home string) string {
	number, err := strconv.Atoi(id)
	if err != nil {
		return err.Error()
	}
	v := n.node.cluster().view()
	if s := v.Status(); s.CutOff || !s.Loaded {
		return fmt.Sprintf("unknown: %+v", s)
	}
	o, ok := v.Owner(ownership.AgentID(number))
	if here := ok && o.Reason == ownership.Here && !o.Lost; here != (home != "") || here && o.Node != home {
		return fmt.Sprintf("%+v, %v", o, ok)
	}
	return ""
}

// findWrongStored returns what is not true of an agent in its last message and its bucket.
func (w *chaosWorld) findWrongStored(id, home string) string {
	want := event.Active
	if home == "" {
		want = event.Disconnected
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
	defer cancel()
	var state event.AgentState
	if err := w.readLast(ctx, "KV_"+event.AgentsBucket, "$KV."+event.AgentsBucket+"."+id, &state); err != nil {
		return "its state cannot be read: " + err.Error()
	}
	if state.Status != want || home != "" && state.Node != home {
		return fmt.Sprintf("its state is %+v", state)
	}
	var last event.StatusChangeMessage
	if err := w.readLast(ctx, "STATUS", "wazuh.xdr.agent."+id+".status_change", &last); err != nil {
		return "its last message cannot be read: " + err.Error()
	}
	if last.StatusChange.CurrentStatus != want {
		return fmt.Sprintf("its last message is %+v", last)
	}
	return ""
}

func (w *chaosWorld) readLast(ctx context.Context, stream, subject string, into any) error {
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, into)
}

// chaosHistory is what was published in STATUS.
type chaosHistory struct {
	w       *chaosWorld
	next    uint64
	ids     map[string]bool
	last    map[string]uint64 // sequence by subject, node and epoch
	status  map[string]event.Status
	counts  map[string]int
	lostFor map[string]int // node_lost, by node
}

func newChaosHistory(w *chaosWorld) *chaosHistory {
	return &chaosHistory{w: w, next: 1, ids: map[string]bool{}, last: map[string]uint64{}, status: map[string]event.Status{}, counts: map[string]int{}, lostFor: map[string]int{}}
}

func (h *chaosHistory) String() string { return fmt.Sprintf("messages so far: %v", h.counts) }

// check reads what is new, and fails the test for what is false.
func (h *chaosHistory) check() {
	t := h.w.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), chaosPatience)
	defer cancel()
	s, err := h.w.js.Stream(ctx, "STATUS")
	if err != nil {
		t.Fatal(err)
	}
	for ; h.next <= s.CachedInfo().State.LastSeq; h.next++ {
		m, err := s.GetMsg(ctx, h.next)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Header.Get(jetstream.MsgIDHeader); h.ids[id] {
			t.Errorf("%s is stored twice", id)
		} else {
			h.ids[id] = true
		}
		body, err := event.Parse(m.Data)
		if err != nil {
			t.Fatalf("%s: %v", m.Data, err)
		}
		h.checkOrder(m.Subject, body.Identity())
		h.checkMessage(m.Subject, body, m.Data)
	}
	for node, lost := range h.lostFor {
		for _, n := range h.w.nodes {
			if n.name == node && lost > n.absences {
				t.Errorf("%s was lost %d times by the messages, and cut off or down %d times", node, lost, n.absences)
			}
		}
	}
}

// checkOrder checks that a node's messages about one agent are in order.
func (h *chaosHistory) checkOrder(subject string, s *event.Security) {
	key := fmt.Sprintf("%s %s %d", subject, s.Node, s.Epoch)
	if s.Sequence <= h.last[key] {
		h.w.t.Errorf("%s: %d after %d", key, s.Sequence, h.last[key])
	}
	h.last[key] = s.Sequence
}

func (h *chaosHistory) checkMessage(subject string, m event.Message, data []byte) {
	t := h.w.t
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		c := &m.StatusChange
		if subject != "wazuh.xdr.agent."+c.AgentID+".status_change" {
			if !h.w.died[c.AgentID] {
				t.Errorf("an alert about an agent that has lived all the time: %s", data)
			}
			h.counts["alerts"]++
			return
		}
		h.counts[string(c.Reason)]++
		h.status[c.AgentID] = c.CurrentStatus
	case *event.NodeLostMessage:
		if m.Lost != nil {
			h.lostFor[m.Lost.Node]++
			h.counts["node_lost messages"]++
		} else {
			h.counts["node_back"]++
		}
	case *event.FleetOutageMessage, *event.AgentDuplicatedMessage:
		t.Errorf("what did not happen: %s", data)
	}
}
