package detector

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// allFeatures are the daemon's default settings, with all features enabled.
var allFeatures = Settings{Group: defaults.Group, RetryInterval: defaults.RetryInterval, ReconnectGrace: defaults.ReconnectGrace,
	SuspectTimeout: 5 * time.Second, OutageShare: 0.3, OutageHold: time.Minute, FlapThreshold: 6, FlapWindow: 10 * time.Minute, MaxChanges: 30}

var sizes = []int{10_000, 1_000_000}

func runBySize(b *testing.B, bench func(b *testing.B, n int)) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) { bench(b, n) })
	}
}

func addressOf(id AgentID) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})
}

// newSteadyFleet returns a table of n agents that sent a keep-alive every 10 s for a
// minute: their addresses and arrival windows are filled.
func newSteadyFleet(n int) (*Table, Instant) { return newSteadyFleetWith(n, allFeatures) }

func newSteadyFleetWith(n int, set Settings) (*Table, Instant) {
	t, start := newFleet(n, set)
	batch := make([]Sighting, 1)
	now := start
	for id := AgentID(1); int(id) <= n; id++ {
		now = start
		for range minGaps + 1 {
			now = now.Add(10 * time.Second)
			batch[0] = Sighting{At: now, ID: id, Addr: addressOf(id), Kind: SawKeepAlive}
			t.Apply(batch)
			batch[0].Kind, batch[0].Token = SawAnswer, 1 // if it was asked
			t.Apply(batch)
		}
		t.TakeDecisions()
	}
	return t, now
}

// BenchmarkSighting measures one of the agents' own keep-alives, applied with the
// others of a sweep and in no order.
func BenchmarkSighting(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		table, now := newSteadyFleet(n)
		batch := make([]Sighting, 0, n/100)
		b.ReportAllocs()
		id := 0
		for b.Loop() {
			id = (id + 7919) % n
			batch = append(batch, Sighting{At: now, ID: AgentID(id + 1), Addr: addressOf(AgentID(id + 1)), Kind: SawKeepAlive})
			if len(batch) == cap(batch) {
				table.Apply(batch)
				batch = batch[:0]
			}
		}
	})
}

// BenchmarkReport measures reporting a sighting, from one goroutine, as many as there
// are processors, and 64.
func BenchmarkReport(b *testing.B) {
	for _, reporters := range []int{1, runtime.GOMAXPROCS(0), 64} {
		b.Run(fmt.Sprintf("reporters=%d", reporters), func(b *testing.B) {
			d := New(allFeatures, NewClock(), func([]Decision) {})
			ctx, stop := context.WithCancel(b.Context())
			var running, reporting sync.WaitGroup
			running.Go(func() { d.Run(ctx) })
			b.ReportAllocs()
			b.ResetTimer()
			for r := range reporters {
				share := b.N/reporters + min(1, max(0, b.N%reporters-r))
				reporting.Go(func() {
					for i := range share {
						d.Report(Sighting{At: 1, ID: AgentID(i + 1), Kind: SawKeepAlive})
					}
				})
			}
			reporting.Wait()
			b.StopTimer()
			stop()
			running.Wait()
		})
	}
}

// BenchmarkSweep measures a sweep that finds nothing due.
func BenchmarkSweep(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		table, now := newFleet(n, defaults)
		b.ReportAllocs()
		for b.Loop() {
			table.Sweep(now)
		}
	})
}

// BenchmarkBusySweep measures a sweep that sends the keep-alives due in its tenth of a
// second, of a fleet that answers all, and checks agents that may be late.
func BenchmarkBusySweep(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		table, now := newSteadyFleet(n)
		measureBusySweep(b, table, now, n)
	})
}

// BenchmarkBusySweepWithSilences measures the same with all verdicts, where agents are in
// Wazuh groups, by which their settings differ, and 10 000 of them are silenced.
func BenchmarkBusySweepWithSilences(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		set := allVerdicts
		set.Groups = []Group{set.Group, set.Group}
		set.GroupOf = func(_ AgentID, _ string, _ netip.Addr, info Info) int { return len(info.Groups) % 3 }
		table, now := newSteadyFleetWith(n, set)
		var silenced []Silenced
		for id := AgentID(1); int(id) <= n; id++ {
			table.SetInfo(id, Info{Groups: []string{"default", "default,web", "default,db"}[id%3], OSName: "Ubuntu", OSVersion: "24.04", Version: "v4.14.5"}, now)
			if int(id)%(n/10_000) == 0 {
				silenced = append(silenced, Silenced{ID: id, On: true})
			}
		}
		table.SetSilenced(silenced, now)
		measureBusySweep(b, table, now, n)
	})
}

func measureBusySweep(b *testing.B, table *Table, now Instant, n int) {
	var heard, answers []Sighting
	next := 0
	b.ReportAllocs()
	decided := 0
	for b.Loop() {
		b.StopTimer()
		now = now.Add(SweepPeriod)
		heard = heard[:0]
		for range n / 100 {
			next = (next + 7919) % n
			heard = append(heard, Sighting{At: now, ID: AgentID(next + 1), Addr: addressOf(AgentID(next + 1)), Kind: SawKeepAlive})
		}
		table.Apply(append(heard, answers...))
		table.TakeDecisions()
		b.StartTimer()
		table.Sweep(now)
		b.StopTimer()
		answers = answers[:0]
		for _, d := range table.TakeDecisions() {
			decided++
			answers = append(answers, Sighting{At: now.Add(SweepPeriod), ID: d.ID, Addr: addressOf(d.ID), Kind: SawAnswer, Token: d.Token})
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(decided)/float64(b.N), "keep-alives/op")
}

// BenchmarkKeepAlive measures a keep-alive and its answer.
func BenchmarkKeepAlive(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		table, now := newSteadyFleet(n)
		batch := make([]Sighting, 1)
		b.ReportAllocs()
		slot := int32(0)
		for b.Loop() {
			slot = (slot + 7919) % int32(n)
			now++
			table.sendKeepAlive(slot, now)
			batch[0] = Sighting{At: now, ID: table.state[slot].id, Kind: SawAnswer, Token: table.state[slot].token}
			table.Apply(batch)
			table.TakeDecisions()
		}
	})
}

// BenchmarkPage measures a page of a snapshot: PageSize agents. The sweep waits for
// one, never for the whole snapshot.
func BenchmarkPage(b *testing.B) {
	table, _ := newSteadyFleet(100_000)
	page := make([]Record, 0, PageSize)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		page, _ = table.Page(page[:0], n%24)
		n++
	}
}

// BenchmarkSetMembers100000 measures for how long the sweep waits when client.keys is
// read again: unchanged, and with every agent changed.
func BenchmarkSetMembers100000(b *testing.B) {
	const n = 100_000
	lists := [2][]Member{}
	for i := range lists {
		for id := AgentID(1); id <= n; id++ {
			lists[i] = append(lists[i], Member{ID: id, Name: fmt.Sprintf("agent-%d-%v", i, id), IP: "any"})
		}
	}
	b.Run("unchanged", func(b *testing.B) {
		table := NewTable(allFeatures)
		table.SetMembers(lists[0], 0)
		b.ReportAllocs()
		for b.Loop() {
			table.SetMembers(lists[0], 1)
		}
	})
	b.Run("all renamed", func(b *testing.B) {
		table := NewTable(allFeatures)
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			table.SetMembers(lists[i%2], Instant(i))
			table.TakeDecisions()
			i++
		}
	})
}

// BenchmarkLossWithProbe measures all that the detector does for an agent that is killed:
// its connection closes, the grace passes, its host is probed and answers, the loss is
// decided, and the agent comes back.
func BenchmarkLossWithProbe(b *testing.B) {
	runBySize(b, func(b *testing.B, n int) {
		table, now := newSteadyFleetWith(n, allVerdicts)
		b.ReportAllocs()
		slot, answers := int32(0), 0
		for b.Loop() {
			slot = (slot + 7919) % int32(n)
			id := table.state[slot].id
			now = now.Add(time.Second)
			table.state[slot].lastSeen, table.due[slot] = now, now.Add(time.Second) // no sweep has followed the others
			table.Apply([]Sighting{{At: now, ID: id, Kind: SawClosed}})
			now = now.Add(allVerdicts.ReconnectGrace)
			table.decideDueAgent(slot, now)
			table.evaluateFleetChanges(now)
			for _, d := range table.TakeDecisions() {
				if d.Verdict == ProbeHost {
					table.ReportHost(HostReport{ID: id, Token: d.Token, At: now, Host: HostAnswers, Probe: "icmp"})
				}
			}
			for _, d := range table.TakeDecisions() {
				if d.Host == HostAnswers {
					answers++
				}
			}
			table.Apply([]Sighting{{At: now, ID: id, Kind: SawStartup}, {At: now, ID: id, Kind: SawKeepAlive}})
			table.TakeDecisions()
		}
		if answers < b.N/2 {
			b.Errorf("%d of %d losses have their evidence", answers, b.N)
		}
	})
}
