package ownership

import (
	"slices"
	"testing"
)

// declared returns the agents that a member is told to be declared lost though they are here.
func declared(list *[]AgentID) func(Event) {
	return func(e Event) {
		if e.Kind == DeclaredLost {
			*list = append(*list, e.Agent)
		}
	}
}

func wantOwner(t *testing.T, m *Member, id AgentID, node string, reason Reason, with string) {
	t.Helper()
	if o, ok := m.State.Owner(id); !ok || o.Node != node || o.Reason != reason || o.With != with {
		t.Errorf("%s: agent %v: %+v, want %s at %q, with %q", m.name, id, o, reason, node, with)
	}
}

func TestTheAgentsOfALostNodeAreLostUntilItSaysOtherwise(t *testing.T) {
	t.Parallel()
	var back []AgentID
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, declared(&back))
	for id := range AgentID(3) {
		b.RecordSighting(&Sighting{Agent: id + 1})
	}
	order := readBack(t, 0, b, a)
	a.RecordSighting(&Sighting{Agent: 4})
	for id := range AgentID(4) {
		a.RecordLossFor(id+1, "node02", 7) // 4 is here
	}
	b.RecordDeparture(2, Lost, 6) // while it was cut off
	order = readBack(t, order, a, a, b)
	for id := range AgentID(3) {
		if o, ok := b.State.ClaimOf(id+1, "node01"); !ok || o.Reason != Lost || o.With != "node02" || o.Since != 7 {
			t.Errorf("agent %d: %+v, %v", id+1, o, ok)
		}
	}
	wantOwner(t, b, 4, "node01", Here, "")
	if !slices.Equal(back, []AgentID{1, 3}) {
		t.Errorf("node02 has %v", back)
	}
	order = readBack(t, order, b, a, b)
	order = readBack(t, order, a, a, b)
	for _, m := range []*Member{a, b} {
		wantOwner(t, m, 1, "node02", Here, "")
		wantOwner(t, m, 2, "node02", Lost, "")
	}
	if readBack(t, order, b, a, b); len(back) != 2 {
		t.Errorf("it is told again: %v", back)
	}
	if a.HasWrites() || b.HasWrites() {
		t.Error("there is more to store")
	}
}

// Neither the node that declared the losses, nor the one that was lost, knows of a run before.
func TestADeclaredLossIsTakenBackAfterRestarts(t *testing.T) {
	t.Parallel()
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	for id := range AgentID(3) {
		b.RecordSighting(&Sighting{Agent: id + 1})
	}
	var stream []stored
	stream = append(stream, takeStored(b, 0)...)
	applyAll(t, stream, a)
	for id := range AgentID(3) {
		a.RecordLossFor(id+1, "node02", 7)
	}
	stream = append(stream, takeStored(a, stream[len(stream)-1].order)...)

	var back []AgentID
	a, b = NewMember("node01", 2, nil), NewMember("node02", 2, declared(&back))
	b.RecordSighting(&Sighting{Agent: 1}) // before it has read anything
	applyAll(t, stream, a, b)
	b.RecordSighting(&Sighting{Agent: 2}) // after it
	b.RecordDeparture(3, Lost, 9)         // which does not come back
	if !slices.Equal(back, []AgentID{1, 2}) {
		t.Errorf("node02 has %v", back)
	}
	b.RecordSighting(&Sighting{Agent: 2})
	more := takeStored(b, stream[len(stream)-1].order)
	applyAll(t, more, a, b)
	applyAll(t, takeStored(a, more[len(more)-1].order), a, b)
	for _, m := range []*Member{a, b} {
		wantOwner(t, m, 1, "node02", Here, "")
		wantOwner(t, m, 2, "node02", Here, "")
		wantOwner(t, m, 3, "node02", Lost, "")
		for id := range AgentID(3) {
			if claims := m.State.Claims(id + 1); len(claims) != 1 {
				t.Errorf("%s: %+v", m.name, claims)
			}
		}
	}
	if len(back) != 2 {
		t.Errorf("it is told again: %v", back)
	}
}

// A node that starts, or was cut off, stores claims before it has read the records of others: the
// loss of an agent that it has claimed stays recorded until it has read it.
func TestADeclaredLossStaysRecordedUntilTheNodeHasReadIt(t *testing.T) {
	t.Parallel()
	var back []AgentID
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, declared(&back))
	b.RecordSighting(&Sighting{Agent: 1})
	order := readBack(t, 0, b, a)
	a.RecordLossFor(1, "node02", 7)
	losses := takeStored(a, order)
	applyAll(t, losses, a)
	b.RecordSighting(&Sighting{Agent: 1, Arrived: true})
	claims := takeStored(b, losses[0].order)
	if applyAll(t, claims, a); a.HasWrites() {
		t.Error("the loss is withdrawn by a claim of a node that has not read of it")
	}
	applyAll(t, losses, b)
	applyAll(t, claims, b)
	if !slices.Equal(back, []AgentID{1}) {
		t.Errorf("node02 has %v", back)
	}
	order = readBack(t, claims[0].order, b, a)
	readBack(t, order, a, b)
	for _, m := range []*Member{a, b} {
		wantOwner(t, m, 1, "node02", Here, "")
		if claims := m.State.Claims(1); len(claims) != 1 {
			t.Errorf("%s: %+v", m.name, claims)
		}
	}
	if len(back) != 1 || a.HasWrites() || b.HasWrites() {
		t.Errorf("there is more to do, or it is told again: %v", back)
	}
}

// stored is a record with its order.
type stored struct {
	order uint64
	write Write
}

// takeStored stores what a member has to store, behind an order.
func takeStored(m *Member, order uint64) (list []stored) {
	for _, w := range m.TakeWrites(100) {
		order++
		m.ConfirmWrite(&w, order)
		list = append(list, stored{order, w})
	}
	return list
}

func applyAll(t *testing.T, list []stored, to ...*Member) {
	t.Helper()
	for i := range list {
		r, err := ParseRecord(string(list[i].write.Text))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range to {
			if err := m.ApplyRecord(list[i].order, list[i].write.Key, r); err != nil {
				t.Fatal(err)
			}
		}
	}
}
