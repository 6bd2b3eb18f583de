package fleet

import (
	"runtime"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// newMany returns n agents that node01 has, and as many of which others have four fifths; those are in
// its table, too, or not.
func newMany(t testing.TB, n int, inTable bool) (alone table, joined *scene) {
	one := newScene(t, n)
	for id := detector.AgentID(1); int(id) <= n; id++ {
		one.see(detector.SawStartup, id)
		one.see(detector.SawKeepAlive, id)
	}
	members := n / 5
	if inTable {
		members = n
	}
	joined = newScene(t, members)
	for id := detector.AgentID(1); int(id) <= n/5; id++ {
		joined.come(id)
	}
	others := []string{"node02", "node03", "node04", "node05"}
	for id := n/5 + 1; id <= n; id++ {
		joined.records.Claim(others[id%4], ownership.AgentID(id), ownership.Here)
	}
	return one.table, joined
}

// readings are what is asked of a whole fleet.
var readings = []struct {
	name   string
	filter func(fleet view.Fleet) *view.Filter
	sort   string
}{
	{"a page", func(view.Fleet) *view.Filter { return &view.Filter{} }, "id"},
	{"a page by address", func(view.Fleet) *view.Filter { return &view.Filter{} }, "-ip"},
	{"a filter by name", func(view.Fleet) *view.Filter { return &view.Filter{Name: "host-*99"} }, "id"},
	{"a filter by node", func(f view.Fleet) *view.Filter {
		return &view.Filter{Nodes: view.MatchNodes(f, "node01", "node0[1-3]")}
	}, "id"},
}

func readMany(t testing.TB, f view.Fleet, n int) {
	order, err := view.ParseOrder(readings[n].sort, "")
	if err == nil {
		_, _, err = view.ListAgents(t.Context(), f, readings[n].filter(f), order, 101)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFleet is what it costs to read a fleet of 100 000: agents of this node alone, and four
// fifths of them on others.
func BenchmarkFleet(b *testing.B) {
	alone, joined := newMany(b, 100_000, false)
	_, listed := newMany(b, 100_000, true)
	for i, r := range readings {
		for name, f := range map[string]view.Fleet{"alone": alone, "joined": joined, "joined, all in client.keys": listed} {
			b.Run(r.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					readMany(b, f, i)
				}
			})
		}
	}
	b.Run("counts/joined", func(b *testing.B) {
		for b.Loop() {
			joined.countAgents()
		}
	})
}

// maxRatio is by how much a fleet of several nodes may cost more than one of this node alone, with
// what a busy machine adds.
const maxRatio = 4

func TestAFleetOfManyNodesIsReadAboutAsQuicklyAsOfOne(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a measurement")
	}
	alone, joined := newMany(t, 30_000, false)
	for i, r := range readings {
		fastest := map[view.Fleet]time.Duration{alone: time.Hour, joined: time.Hour}
		for range 50 { // the machine may do other work now and then
			for f := range fastest {
				began := time.Now()
				readMany(t, f, i)
				fastest[f] = min(fastest[f], time.Since(began))
			}
			if fastest[joined] <= maxRatio*fastest[alone] {
				break
			}
		}
		if fastest[joined] > maxRatio*fastest[alone] {
			t.Errorf("%s: %v, and %v of this node alone", r.name, fastest[joined], fastest[alone])
		}
	}
}

// What is kept of an agent of another node is its claim. The fleet keeps nothing.
func TestAFleetKeepsNothingOfOtherNodesAgents(t *testing.T) {
	s := newScene(t, 0)
	const agents = 20_000
	for id := ownership.AgentID(1); id <= agents; id++ {
		s.records.Claim("node02", id, ownership.Here)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range readings {
		readMany(t, s, i)
	}
	s.updateCounts()
	if after := heap(); after > before+2*agents {
		t.Errorf("%d bytes more", after-before)
	}
	runtime.KeepAlive(s)
}
