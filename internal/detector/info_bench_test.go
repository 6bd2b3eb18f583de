package detector

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// differentInfos is how many a large fleet has: its agents are of few groups, systems and
// versions.
const differentInfos = 200

// newInfo returns one of them, in memory of its own as if it had just been read.
func newInfo(i int) Info {
	i %= differentInfos
	return Info{Groups: fmt.Sprintf("default,site-%d", i/20), OSName: fmt.Sprintf("Debian GNU/Linux %d", i%5), OSVersion: fmt.Sprint(10 + i%4), Version: fmt.Sprintf("v4.%d.%d", i%10, i%3)}
}

// BenchmarkSetInfo measures setting what is known of an agent in a large fleet: the same
// as before, as with each reading of a manager's table, and something else, by which its
// group is determined again. The memory is that of the first, for each agent.
func BenchmarkSetInfo(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		set := allFeatures
		set.Groups = []Group{set.Group}
		set.GroupOf = func(_ AgentID, _ string, _ netip.Addr, info Info) int { return len(info.Groups) % 2 }
		table, now := newFleet(n, set)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			table.SetInfo(AgentID(i+1), newInfo(i), now)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		infos := make([]Info, differentInfos)
		for i := range infos {
			infos[i] = newInfo(i)
		}
		for _, shift := range []int{0, 1} {
			b.Run([]string{"same", "other"}[shift], func(b *testing.B) {
				b.ReportAllocs()
				i, pass := 0, 0
				for b.Loop() {
					table.SetInfo(AgentID(i+1), infos[(i+pass*shift)%differentInfos], now)
					if i++; i == n {
						i, pass = 0, pass+1
					}
				}
				b.ReportMetric(max(0, float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(n)), "B/agent")
			})
		}
		runtime.KeepAlive(table)
	})
}
