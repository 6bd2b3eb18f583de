package detector

import (
	"fmt"
	"runtime"
	"testing"
)

// An agent takes 200 bytes at most: its columns, its place in the indexes of ids and
// addresses, its name and its address as text.
func TestAnAgentTakesFewBytes(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const n, most = 200_000, 200
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	table := NewTable(allVerdicts)
	members := make([]Member, 0, n)
	for id := AgentID(1); id <= n; id++ {
		members = append(members, Member{ID: id, Name: fmt.Sprintf("host-%d", id), IP: "any"})
	}
	table.SetMembers(members, 0)
	members = nil
	batch := make([]Sighting, 1)
	for id := AgentID(1); id <= n; id++ {
		batch[0] = Sighting{At: 1, ID: id, Addr: addressOf(id), Kind: SawKeepAlive}
		table.Apply(batch)
		table.SetInfo(id, Info{Groups: "default", OSName: "Ubuntu"}, 1)
		table.TakeDecisions()
	}
	if got := (heap() - before) / n; got > most {
		t.Errorf("an agent takes %d bytes, want %d at most", got, most)
	} else {
		t.Logf("an agent takes %d bytes", got)
	}
	runtime.KeepAlive(table)
}
