package detector

import (
	"testing"

	"pgregory.net/rapid"
)

// TestIndexIsAMap drives an index and a map through the same history.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		want := make(map[AgentID]int32)
		ids := rapid.OneOf(rapid.Uint32Range(1, 5), rapid.Uint32Range(1020, 1030), rapid.Uint32Range(1, uint32(MaxAgentID)))
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			id := AgentID(ids.Draw(t, "id"))
			slot, ok := x.get(id)
			if w, there := want[id]; ok != there || ok && slot != w {
				t.Fatalf("%v is in slot %d, %v; want %d, %v", id, slot, ok, w, there)
			}
			if ok {
				x.remove(id)
				delete(want, id)
			} else {
				slot := rapid.Int32Range(0, 10_000_000).Draw(t, "slot")
				x.put(id, slot)
				want[id] = slot
			}
			if x.count != len(want) {
				t.Fatalf("%d ids, want %d", x.count, len(want))
			}
		}
		if _, ok := x.get(1<<32 - 1); ok {
			t.Error("an id beyond all others is there")
		}
	})
}
