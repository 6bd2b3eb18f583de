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

// storedClaim is a claim of a node in a stream, with its order.
type storedClaim struct {
	order uint64
	node  string
	claim Claim
}

// readClaims has a node read claims.
func readClaims(t *testing.T, m *Member, list ...storedClaim) {
	t.Helper()
	for i, c := range list {
		c.claim.Agent = 1
		r := Record{Kind: ClaimRecord, Stamp: Stamp{1, uint64(i + 1)}, Claim: c.claim}
		if err := m.ApplyRecord(c.order, Key{Node: c.node, Kind: ClaimRecord, Agent: 1}, r); err != nil {
			t.Fatal(err)
		}
	}
}

// What a run before this one has published of an agent is compared with what is stored of it.
func TestAnAgentOfTheRunBeforeIsHereUnlessSomethingLaterIsStored(t *testing.T) {
	t.Parallel()
	here := func(order uint64, node string, seen uint64) storedClaim {
		return storedClaim{order, node, Claim{Seen: seen, From: seen}}
	}
	lost := func(order uint64, node string, seen uint64) storedClaim {
		return storedClaim{order, node, Claim{Reason: Lost, Seen: seen, From: seen}}
	}
	declared := func(order uint64) storedClaim {
		return storedClaim{order, "node02", Claim{Reason: Lost, With: "node01", Seen: order - 1, From: order - 1}}
	}
	for name, c := range map[string]struct {
		restored  Restored
		stored    []storedClaim
		owns      bool
		reason    Reason // if it does
		overtaken bool
		declared  uint64
		stated    uint64 // order of a statement that it is here
	}{
		"nothing is stored":                          {restored: Restored{Order: 5}, owns: true, stated: 5},
		"its claim is stored":                        {restored: Restored{Order: 5}, stored: []storedClaim{here(7, "node01", 5)}, owns: true, stated: 7},
		"another node had it before":                 {restored: Restored{Order: 5}, stored: []storedClaim{here(4, "node02", 3)}, owns: true, stated: 5},
		"another node has claimed it after":          {restored: Restored{Order: 5}, stored: []storedClaim{here(9, "node02", 8)}, overtaken: true},
		"and has lost it":                            {restored: Restored{Order: 5}, stored: []storedClaim{lost(9, "node02", 8)}, overtaken: true},
		"another node had it before, and lost it":    {restored: Restored{Order: 5}, stored: []storedClaim{lost(9, "node02", 3)}, owns: true, stated: 9},
		"its claim is after that of the other":       {restored: Restored{Order: 5}, stored: []storedClaim{here(7, "node02", 4), here(8, "node01", 7)}, owns: true, stated: 8},
		"its claim is before that of the other":      {restored: Restored{Order: 5}, stored: []storedClaim{here(6, "node01", 5), here(8, "node02", 6)}, overtaken: true},
		"both had read nothing, and it was later":    {restored: Restored{Order: 1}, stored: []storedClaim{here(3, "node02", 0), here(4, "node01", 0)}, owns: true, stated: 4},
		"both had read nothing, and it was earlier":  {restored: Restored{Order: 1}, stored: []storedClaim{here(3, "node01", 0), here(4, "node02", 0)}, owns: true, stated: 4},
		"it was declared lost with this node":        {restored: Restored{Order: 5}, stored: []storedClaim{here(6, "node01", 5), declared(9)}},
		"it was, and the agent came after":           {restored: Restored{Order: 12}, stored: []storedClaim{declared(9)}, owns: true, declared: 9, stated: 12},
		"it was lost here":                           {restored: Restored{Order: 5, Lost: true}},
		"it was lost here, which was not stored":     {restored: Restored{Order: 5, Lost: true, Since: 3}, stored: []storedClaim{here(4, "node01", 3)}, owns: true, reason: Lost},
		"it was lost here, and declared lost before": {restored: Restored{Order: 5, Lost: true}, stored: []storedClaim{here(3, "node01", 2), declared(4)}, owns: true, reason: Lost, declared: 4},
	} {
		t.Run(name, func(t *testing.T) {
			overtaken := false
			m := NewMember("node01", 2, func(e Event) { overtaken = overtaken || e.Kind == Overtaken })
			c.restored.Agent = 1
			m.Restore([]Restored{c.restored})
			if _, known := m.Own.Claim(1); known == c.restored.Lost {
				t.Errorf("before anything is read: known is %v", known)
			}
			readClaims(t, m, c.stored...)
			m.ReconcileRestored([]Restored{c.restored})
			own, owns := m.Own.Claim(1)
			if owns != c.owns || owns && own.Reason != c.reason || overtaken != c.overtaken || m.Own.DeclaredOrder(1) != c.declared || m.IsHere(1) {
				t.Errorf("owns %v, %v; overtaken %v; declared %d; here %v", owns, own.Reason, overtaken, m.Own.DeclaredOrder(1), m.IsHere(1))
			}
			if here, _ := m.Own.Counts(); (here == 1) != (c.owns && c.reason == Here) {
				t.Errorf("%d agents are here", here)
			}
			if order := m.StatementOrder(1, true); c.stated > 0 && order != c.stated {
				t.Errorf("a statement that it is here has order %d, want %d", order, c.stated)
			}
		})
	}
}

func TestAStatementOfAnAgentIsLaterThanThatItWasDeclaredLost(t *testing.T) {
	t.Parallel()
	m := NewMember("node01", 1, nil)
	if order := m.Own.DeclaredOrder(1); order != 0 {
		t.Errorf("order %d of an agent that nobody has", order)
	}
	m.RecordSighting(&Sighting{Agent: 1})
	order := readBack(t, 10, m)
	for i, after := range []uint64{20, 30} {
		r := Record{Kind: ClaimRecord, Stamp: Stamp{1, uint64(i + 1)}, Claim: Claim{Agent: 1, Reason: Lost, With: "node01", Seen: after - 1, From: after - 1, Since: uint32(i)}}
		if err := m.ApplyRecord(after, Key{Node: "node02", Kind: ClaimRecord, Agent: 1}, r); err != nil {
			t.Fatal(err)
		}
		if got := m.Own.DeclaredOrder(1); got != after {
			t.Errorf("order %d, want %d", got, after)
		}
		for _, here := range []bool{true, false} {
			if got := m.StatementOrder(1, here); got < after || got <= order {
				t.Errorf("a statement has order %d, and the declaration %d", got, after)
			}
		}
	}
	m.Own.addDeclaration(1, 5)
	if got := m.Own.DeclaredOrder(1); got != 30 {
		t.Errorf("an older declaration counts: %d", got)
	}
}
