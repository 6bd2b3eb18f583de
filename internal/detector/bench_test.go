package detector

import (
	"fmt"
	"testing"
)

var sizes = []int{10_000, 1_000_000}

// BenchmarkSighting is the cost of one sign of life.
func BenchmarkSighting(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			table, now := fleetOf(n, defaults)
			batch := make([]Sighting, 1)
			b.ReportAllocs()
			id := 0
			for b.Loop() {
				id = (id + 7919) % n
				batch[0] = Sighting{At: now, ID: AgentID(id + 1), Kind: SawKeepAlive}
				table.Apply(batch)
			}
		})
	}
}

// BenchmarkSweep is the cost of a sweep that finds nothing due.
func BenchmarkSweep(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			table, now := fleetOf(n, defaults)
			b.ReportAllocs()
			for b.Loop() {
				table.Sweep(now)
			}
		})
	}
}

// BenchmarkKeepAlive is the cost of a keep-alive and its answer.
func BenchmarkKeepAlive(b *testing.B) {
	table, now := fleetOf(10_000, defaults)
	batch := make([]Sighting, 1)
	b.ReportAllocs()
	slot := int32(0)
	for b.Loop() {
		slot = (slot + 1) % 10_000
		now++
		table.send(slot, now)
		batch[0] = Sighting{At: now, ID: table.state[slot].id, Kind: SawAnswer, Token: table.state[slot].token}
		table.Apply(batch)
		table.Take()
	}
}
