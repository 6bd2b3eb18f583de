package bench

import (
	"fmt"
	"net/netip"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

var roles = []string{"web", "db", "mail", "domain-controller", "laptop", "build", "vpn", "files"}

// makeMembers returns an inventory of n agents with names of 9 to 32 letters.
// Most are registered with any address, as after enrolment, every fourth with
// its own.
func makeMembers(n int) []detector.Member {
	list := make([]detector.Member, 0, n)
	for id := detector.AgentID(1); int(id) <= n; id++ {
		m := detector.Member{ID: id, Name: fmt.Sprintf("%s-site%02d-%s", roles[id%8], id/8%64, id), IP: "any"}
		if id%4 == 0 {
			m.IP = agentAddress(id).String()
		}
		list = append(list, m)
	}
	return list
}

// agentAddress returns the address of an agent: 250 to a /24.
func agentAddress(id detector.AgentID) netip.Addr {
	network, host := id/250, id%250+1
	return netip.AddrFrom4([4]byte{10 + byte(network>>16), byte(network >> 8), byte(network), byte(host)})
}

// turnOrder is the order in which the agents have their turns. Neighbours are
// never next to each other, as on a real network.
type turnOrder struct{ agents, step uint64 }

func newTurnOrder(n int) turnOrder {
	step := uint64(n)*618/1000 | 1
	for greatestCommonDivisor(step, uint64(n)) != 1 {
		step += 2
	}
	return turnOrder{uint64(n), step}
}

func greatestCommonDivisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// agentAt returns the agent of the i-th turn.
func (o turnOrder) agentAt(i int64) detector.AgentID {
	return detector.AgentID(uint64(i)%o.agents*o.step%o.agents + 1)
}
