package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/seal"
)

// chaosNode is a node whose link can be cut, and which can be killed.
type chaosNode struct {
	*testNode
	name string
	key  *seal.Key
	way  *testsupport.Path
	cut  bool
	has  map[ownership.AgentID]bool // the truth
}

// Real nodes at a real server, whose links are cut, which are killed and started again, while
// agents move and die and the server is away: afterwards all know where every agent is.
// CHAOS_ROUNDS sets how many histories are played.
func TestChaosOfNodesAndLinksLeavesAllViewsTrue(t *testing.T) {
	for seed := range testsupport.EnvNumber(t, "CHAOS_ROUNDS", 4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playChaos(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

const chaosAgents = 30

func playChaos(t *testing.T, r *rand.Rand) {
	s := startServers(t, 1)
	var nodes []*chaosNode
	for i := range 3 {
		n := &chaosNode{name: fmt.Sprint("node0", i+1), has: map[ownership.AgentID]bool{}}
		n.key = newKey(t, n.name)
		s.publishKeys(n.name, n.key.Public())
		n.way = testsupport.OpenPath(t, fmt.Sprintf("127.0.0.1:%d", s.opts[0].Port))
		n.testNode = s.joinAt("nats://"+n.way.Addr, n.name, n.key)
		nodes = append(nodes, n)
	}
	for id := ownership.AgentID(1); id <= chaosAgents; id++ {
		nodes[r.IntN(3)].comeHere(id)
	}
	for range 60 {
		n, id := nodes[r.IntN(3)], ownership.AgentID(1+r.IntN(chaosAgents))
		switch r.IntN(12) {
		case 0, 1:
			n.setCut(!n.cut)
		case 2:
			n.restart(s)
		case 3:
			if r.IntN(4) == 0 {
				s.stopServer(0)
				s.startServer(0)
			}
		case 4:
			for _, o := range nodes { // it dies
				o.leaveHere(id, ownership.Lost)
			}
		default:
			for _, o := range nodes {
				o.leaveHere(id, ownership.Lost)
			}
			n.comeHere(id)
		}
		<-time.After(time.Duration(r.IntN(30)) * time.Millisecond)
	}
	for _, n := range nodes {
		n.setCut(false)
	}
	checkChaos(t, nodes)
}

// comeHere has an agent connect to the node.
func (n *chaosNode) comeHere(id ownership.AgentID) {
	n.has[id] = true
	n.Claim(ownership.Sighting{Agent: id, Since: uint32(time.Now().Unix()), Arrived: true})
}

func (n *chaosNode) leaveHere(id ownership.AgentID, reason ownership.Reason) {
	if n.has[id] {
		delete(n.has, id)
		n.Depart(id, reason, uint32(time.Now().Unix()))
	}
}

func (n *chaosNode) setCut(cut bool) {
	if n.cut == cut {
		return
	}
	if n.cut = cut; cut {
		n.way.Close()
	} else {
		n.way.Open()
	}
}

// restart kills the node, and starts it again with the agents that it has.
func (n *chaosNode) restart(s *servers) {
	n.close()
	n.testNode = s.joinAt("nats://"+n.way.Addr, n.name, n.key)
	for id := range n.has {
		n.comeHere(id)
	}
	n.CompleteClaims()
}

// checkChaos waits until all nodes know the truth. Meanwhile agents send their keep-alives.
func checkChaos(t *testing.T, nodes []*chaosNode) {
	t.Helper()
	wrong := ""
	deadline := time.After(patience)
	for {
		for _, n := range nodes {
			for id := range n.has {
				n.Claim(ownership.Sighting{Agent: id})
			}
		}
		if wrong = findWrong(nodes); wrong == "" {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatal(wrong)
		}
	}
}

func findWrong(nodes []*chaosNode) string {
	for _, n := range nodes {
		for id := ownership.AgentID(1); id <= chaosAgents; id++ {
			home := ""
			for _, o := range nodes {
				if o.has[id] {
					home = o.name
				}
			}
			o, ok := n.Owner(id)
			here := ok && o.Reason == ownership.Here && !o.Lost
			if here != (home != "") || here && o.Node != home {
				return fmt.Sprintf("%s has agent %v at %+v, %v, and it is at %q; %+v", n.name, id, o, ok, home, n.Status())
			}
		}
	}
	return ""
}
