package ownership

import (
	"slices"
	"testing"
)

// A node that starts has its agents before it has read what the others have stored of them
// meanwhile: it stores nothing of them until then, and finds what nobody has said of them.
func TestARestoredAgentThatShowsItselfBeforeTheStreamIsReadIsStatedOnceMore(t *testing.T) {
	t.Parallel()
	first, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	for id := range AgentID(4) {
		first.RecordSighting(&Sighting{Agent: id + 1})
	}
	stream := takeStored(first, 0)
	applyAll(t, stream, first, b)
	var restored []Restored
	for id := range AgentID(4) {
		restored = append(restored, Restored{Agent: id + 1, Order: first.StatementOrder(id+1, true)})
	}
	for id := range AgentID(3) { // they go to node02
		b.RecordSighting(&Sighting{Agent: id + 1})
	}
	stream = append(stream, takeStored(b, 4)...)
	applyAll(t, stream[4:], b)
	b.RecordDeparture(2, Lost, 5) // and one of them is lost there
	stream = append(stream, takeStored(b, 7)...)
	applyAll(t, stream[7:], b)

	var unread, overtaken []AgentID
	a := NewMember("node01", 2, func(e Event) {
		switch e.Kind {
		case BackUnread:
			unread = append(unread, e.Agent)
		case Overtaken:
			overtaken = append(overtaken, e.Agent)
		}
	})
	a.Restore(restored)
	a.AdvanceFrontier(8)
	for _, id := range []AgentID{1, 2, 4} {
		a.RecordSighting(&Sighting{Agent: id, Arrived: true})
	}
	if a.HasWrites() {
		t.Error("a claim is to be stored before the stream is read")
	}
	applyAll(t, stream, a)
	a.ReconcileRestored(restored)
	if !slices.Equal(unread, []AgentID{1, 2}) || !slices.Equal(overtaken, []AgentID{3}) {
		t.Errorf("node01 is told of %v, which are here, and of %v, which are not", unread, overtaken)
	}
	readBack(t, 8, a, b)
	for _, m := range []*Member{a, b} {
		for id, node := range map[AgentID]string{1: "node01", 2: "node01", 3: "node02", 4: "node01"} {
			wantOwner(t, m, id, node, Here, "")
		}
	}
}
