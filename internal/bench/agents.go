package bench

import (
	"fmt"
	"net/netip"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

var roles = []string{"web", "db", "mail", "domain-controller", "laptop", "build", "vpn", "files"}

// members makes an inventory of n agents with names of 9 to 32 letters. Most
// are registered under any address, as enrolment does it, every fourth under its own.
func members(n int) []detector.Member {
	list := make([]detector.Member, 0, n)
	for id := detector.AgentID(1); int(id) <= n; id++ {
		m := detector.Member{ID: id, Name: fmt.Sprintf("%s-site%02d-%s", roles[id%8], id/8%64, id), IP: "any"}
		if id%4 == 0 {
			m.IP = address(id).String()
		}
		list = append(list, m)
	}
	return list
}

// address is where an agent is: 250 to a /24.
func address(id detector.AgentID) netip.Addr {
	network, host := id/250, id%250+1
	return netip.AddrFrom4([4]byte{10 + byte(network>>16), byte(network >> 8), byte(network), byte(host)})
}

// order is the order in which n agents have their turns: all of them, and never
// neighbours one after the other, as the network mixes them.
type order struct{ agents, step uint64 }

func newOrder(n int) order {
	step := uint64(n)*618/1000 | 1
	for divisor(step, uint64(n)) != 1 {
		step += 2
	}
	return order{uint64(n), step}
}

func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at returns the agent whose turn it is, the i-th since the beginning.
func (o order) at(i int64) detector.AgentID {
	return detector.AgentID(uint64(i)%o.agents*o.step%o.agents + 1)
}
