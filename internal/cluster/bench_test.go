package cluster

import (
	"net/netip"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// One node claims agents, and another one reads the claims.
func BenchmarkClaims(b *testing.B) {
	s := startServers(b, 1)
	long := func(_ *Config, t *timing) { *t = defaultTiming }
	from, to := s.join("node01", long), s.join("node02", long)
	from.awaitNode("node02", false)
	to.awaitNode("node01", false)
	addr := netip.MustParseAddr("10.0.0.1")
	b.ResetTimer()
	for i := range b.N {
		from.Claim(ownership.Sighting{Agent: ownership.AgentID(i + 1), Since: 1_795_887_217, Sign: 1_795_887_217, Addr: addr})
	}
	for to.Status().Claims < b.N {
		time.Sleep(time.Millisecond)
	}
}

// A node reads all claims of another one.
func BenchmarkLoad(b *testing.B) {
	s := startServers(b, 1)
	long := func(_ *Config, t *timing) { *t = defaultTiming }
	from := s.join("node01", long)
	addr := netip.MustParseAddr("10.0.0.1")
	for i := range b.N {
		from.Claim(ownership.Sighting{Agent: ownership.AgentID(i + 1), Since: 1_795_887_217, Sign: 1_795_887_217, Addr: addr})
	}
	for from.Status().Claims < b.N {
		time.Sleep(time.Millisecond)
	}
	b.ResetTimer()
	to := s.join("node02", long)
	for to.Status().Claims < b.N {
		time.Sleep(time.Millisecond)
	}
}
