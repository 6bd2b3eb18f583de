package ownership

import (
	"slices"
	"testing"
	"time"
)

// readBack has members read what one of them stores, and returns the order of the last.
func readBack(t *testing.T, order uint64, writer *Member, readers ...*Member) uint64 {
	t.Helper()
	for _, w := range writer.TakeWrites(100) {
		order++
		writer.ConfirmWrite(&w, order)
		r, err := ParseRecord(string(w.Text))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range append(readers, writer) {
			if err := m.ApplyRecord(order, w.Key, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return order
}

// The claim before it is no sign that the agent has moved.
func TestALossIsNoMoveBecauseOfAnOlderClaim(t *testing.T) {
	t.Parallel()
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	a.RecordSighting(&Sighting{Agent: 1})
	order := readBack(t, 0, a, b)
	b.RecordSighting(&Sighting{Agent: 1})
	order = readBack(t, order, b, a)
	b.RecordDeparture(1, Lost, 5)
	order = readBack(t, order, b, a)
	a.RecordDeparture(1, Moved, 6)
	readBack(t, order, a, b)
	readBack(t, order+1, b, a)
	for _, m := range []*Member{a, b} {
		if o, ok := m.State.Owner(1); !ok || o.Node != "node02" || o.Reason != Lost || o.Since != 5 {
			t.Errorf("%s: %+v, %v", m.name, o, ok)
		}
	}
}

func TestAnAgentThatComesBackElsewhereLeavesNoRecordBehind(t *testing.T) {
	t.Parallel()
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	a.RecordSighting(&Sighting{Agent: 1})
	a.RecordDeparture(1, Lost, 5)
	order := readBack(t, 0, a, b)
	b.RecordSighting(&Sighting{Agent: 1})
	order = readBack(t, order, b, a)
	writes := a.TakeWrites(1)
	if len(writes) != 1 || writes[0].Claim.Reason != Moved || !writes[0].Brief {
		t.Fatalf("%+v", writes)
	}
	a.ConfirmWrite(&writes[0], order+1)
	if c, ok := a.Own.Claim(1); ok {
		t.Errorf("%+v is left", c)
	}
}

func TestAStreamThatHasLostRecordsIsNoticed(t *testing.T) {
	t.Parallel()
	a := NewMember("node01", 1, nil)
	for id := range AgentID(10) {
		a.RecordSighting(&Sighting{Agent: id})
	}
	order := readBack(t, 0, a)
	a.RecordDeparture(3, Moved, 1)
	readBack(t, order, a)
	for own, want := range map[int]bool{10: false, 11: false, 9: true, 0: true} {
		if got := a.IsIncomplete(own, 100); got != want {
			t.Errorf("with %d of 10 records: %v", own, got)
		}
	}
	if !a.IsIncomplete(10, 8) {
		t.Error("fewer records of all than of this node")
	}
}

// No count of the stream's records shows it to a node that has never read them.
func TestAClaimThatIsRemovedBeforeItsNodeReadsItIsStoredAgain(t *testing.T) {
	t.Parallel()
	a := NewMember("node01", 1, nil)
	read := func(order uint64, w *Write) {
		t.Helper()
		r, err := ParseRecord(string(w.Text))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.ApplyRecord(order, w.Key, r); err != nil {
			t.Fatal(err)
		}
	}
	for id := range AgentID(5) {
		a.RecordSighting(&Sighting{Agent: id, Arrived: true})
	}
	writes := a.TakeWrites(5)
	read(1, &writes[0]) // before its confirmation
	for i := range writes {
		a.ConfirmWrite(&writes[i], uint64(i+1))
	}
	a.RecordDeparture(4, Moved, 9)
	moved := a.TakeWrites(1)
	a.ConfirmWrite(&moved[0], 6)
	read(3, &writes[2])
	if n := a.RequeueUnread(); n != 1 {
		t.Errorf("%d are stored again once the third was read", n)
	}
	again := a.TakeWrites(5)
	a.ConfirmWrite(&again[0], 7)
	beat := a.MakeBeat(Beat{})
	read(7, &again[0])
	read(8, &beat)
	if n := a.RequeueUnread(); n != 1 {
		t.Errorf("%d are stored again once all was read", n)
	}
	last := a.TakeWrites(5)
	if len(again) != 1 || again[0].Claim.Agent != 1 || len(last) != 1 || last[0].Claim.Agent != 3 {
		t.Errorf("stored again: %+v and %+v", again, last)
	}
	a.ConfirmWrite(&last[0], 9)
	if n := a.RequeueUnread(); n > 0 {
		t.Errorf("%d are stored again that are not to be read yet", n)
	}
}

func TestWhatARunBeforeStoredIsChangedByTheNextOne(t *testing.T) {
	t.Parallel()
	first, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	for id := range AgentID(4) {
		first.RecordSighting(&Sighting{Agent: id})
	}
	first.RecordDeparture(2, Lost, 5)
	first.RecordDeparture(3, Lost, 5)
	a := NewMember("node01", 2, nil)
	order := readBack(t, 0, first, a, b)
	a.RecordSighting(&Sighting{Agent: 0})
	a.RecordDeparture(1, Lost, 6) // which did not come back
	b.RecordSighting(&Sighting{Agent: 3})
	order = readBack(t, order, b, a)
	a.Own.DepartUnknown(a.State, 7)
	readBack(t, order, a, b)
	for id, want := range map[AgentID]Reason{0: Here, 1: Lost, 2: Lost} {
		if c := b.State.Claims(id); len(c) != 1 || c[0].Reason != want {
			t.Errorf("agent %v: %+v, want %v", id, c, want)
		}
	}
	if c := b.State.Claims(3); len(c) != 1 || c[0].Node != "node02" {
		t.Errorf("agent 003, which is back elsewhere: %+v", c)
	}
	if here, _ := a.Own.Counts(); here != 1 {
		t.Errorf("%d agents are here", here)
	}
}

func TestASignOfLifeThatProvesNothingBringsNoAgentBack(t *testing.T) {
	t.Parallel()
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	late := Sighting{Agent: 1, Stays: true}
	a.RecordSighting(&late)
	if a.HasWrites() {
		t.Error("an agent that never came is claimed")
	}
	a.RecordSighting(&Sighting{Agent: 1})
	order := readBack(t, 0, a, b)
	a.RecordSighting(&late)
	if c, _ := a.Own.Claim(1); c.Seen != order {
		t.Errorf("of an agent that is here it is one: %+v, want %d", c, order)
	}
	a.RecordDeparture(1, Stopped, 5)
	a.RecordSighting(&late)
	if c, _ := a.Own.Claim(1); c.Reason != Stopped {
		t.Errorf("it is back after its goodbye: %+v", c)
	}
}

// Each statement about an agent is later than those that are not true any more, though the
// nodes have read as much of the stream as they happen to.
func TestStatementsOfTwoNodesHaveTheOrderOfTheAgentsWay(t *testing.T) {
	t.Parallel()
	a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
	a.RecordSighting(&Sighting{Agent: 1})
	came := a.StatementOrder(1, true)
	order := readBack(t, 0, a, b)
	a.AdvanceFrontier(90) // stored, and node02 has not heard of it
	b.RecordSighting(&Sighting{Agent: 1})
	if moved := b.StatementOrder(1, true); moved <= came {
		t.Errorf("the agent came with order %d, and to the other node with %d", came, moved)
	}
	order = readBack(t, max(order, 90), b, a)
	a.RecordDeparture(1, Moved, 5)
	order = readBack(t, order, a, b)
	b.RecordSighting(&Sighting{Agent: 1})
	b.RecordDeparture(1, Lost, 6)
	lost := b.StatementOrder(1, false)
	order = readBack(t, order, b, a)
	a.RecordSighting(&Sighting{Agent: 1})
	if back := a.StatementOrder(1, true); back <= lost {
		t.Errorf("lost with order %d, and back with %d", lost, back)
	}
	a.RecordDeparture(1, Lost, 7)
	if again := a.StatementOrder(1, false); again <= lost {
		t.Errorf("lost with order %d, and elsewhere with %d", lost, again)
	}
	b.RecordLossFor(1, "node01", 8)
	order = readBack(t, order, b, a)
	a.RecordSighting(&Sighting{Agent: 1})
	if again := a.StatementOrder(1, true); again < order {
		t.Errorf("declared lost with order %d, and here with %d", order, again)
	}
}

// What is stored over a record is decided once for each.
func TestRefusedRecordsOfANodeAreReplacedOnce(t *testing.T) {
	m := NewMember("node01", 1, nil)
	refuse := func(id AgentID, order uint64) {
		m.RecordRefused(Key{Node: "node01", Kind: ClaimRecord, Agent: id}, order)
	}
	store := func(order uint64) (stored []string) {
		list := m.TakeWrites(10)
		for i := range list {
			m.ConfirmWrite(&list[i], order)
			stored = append(stored, list[i].Key.String()+" "+list[i].Claim.Reason.String())
		}
		slices.Sort(stored)
		return stored
	}
	m.RecordSighting(&Sighting{Agent: 1, Arrived: true})
	store(5)
	m.RecordRefused(Key{Node: "node02", Kind: ClaimRecord, Agent: 9}, 6)
	m.RecordRefused(Key{Node: "node01", Kind: BeatRecord}, 7)
	refuse(1, 4) // it was replaced before it was read
	refuse(2, 3)
	if n := m.ReplaceRefused(false, 9); n > 0 {
		t.Errorf("%d are replaced before all agents are known", n)
	}
	refuse(1, 8)
	if n, stored := m.ReplaceRefused(true, 9), store(9); n != 2 || !slices.Equal(stored, []string{"node01.001 here", "node01.002 removed"}) {
		t.Errorf("%d: %v", n, stored)
	}
	if n := m.ReplaceRefused(true, 9); n > 0 || m.HasWrites() {
		t.Errorf("%d are replaced again", n)
	}
	refuse(1, 9) // its own: the others may accept it, and storing it again would change nothing
	if n := m.ReplaceRefused(true, 9); n > 0 {
		t.Errorf("%d are replaced that this run has stored", n)
	}
}

// A node that could not read its manager's database learns late of an agent that came meanwhile,
// and that was lost elsewhere by then: it has come from there all the same.
func TestASignOfLifeFromBeforeALossElsewhereIsAReturnFromThere(t *testing.T) {
	t.Parallel()
	for _, reason := range []Reason{Lost, Stopped} {
		a, b := NewMember("node01", 1, nil), NewMember("node02", 1, nil)
		a.RecordSighting(&Sighting{Agent: 1})
		order := readBack(t, 0, a, b)
		b.AdvanceFrontier(order)
		b.SetTime(60 * time.Second)
		a.RecordDeparture(1, reason, 5)
		b.AdvanceFrontier(readBack(t, order, a, b))
		b.SetTime(70 * time.Second)
		got := b.RecordSighting(&Sighting{Agent: 1, Age: 20 * time.Second})
		if !got.Moved || got.Late || got.From.Node != "node01" || got.From.Reason != reason {
			t.Errorf("%v: %+v", reason, got)
		}
	}
}
