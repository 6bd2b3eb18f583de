package detector

import (
	"fmt"
	"testing"
)

// Half of 100000 agents are gone from the inventory, the other half has other
// names, and as many are new: the table holds exactly the new list, and what
// happened is told agent by agent.
func TestAWholeInventoryMayChange(t *testing.T) {
	const n = 100_000
	table, now := fleetOf(n, everything)
	var members []Member
	for id := AgentID(n/2 + 1); id <= n+n/2; id++ {
		members = append(members, Member{ID: id, Name: fmt.Sprintf("new-%v", id), IP: "any"})
	}
	table.SetMembers(members, now.Add(1))
	removed := make(map[AgentID]bool)
	for _, d := range table.TakeDecisions() {
		if d.Verdict != Changed || d.Reason != AgentRemoved || d.From != Active || removed[d.ID] || d.Name != d.ID.String() {
			t.Fatalf("decided %+v, want each active agent removed once", d)
		}
		removed[d.ID] = true
	}
	if len(removed) != n || table.Counts() != [4]int{NeverConnected: n} || table.Len() != n {
		t.Errorf("%d removed, %v by status, %d in all", len(removed), table.Counts(), table.Len())
	}
	names := make(map[AgentID]string)
	for page, more := 0, true; more; page++ {
		var list []Record
		list, more = table.Page(nil, page)
		for _, r := range list {
			names[r.ID] = r.Name
		}
	}
	for _, m := range members {
		if names[m.ID] != m.Name {
			t.Fatalf("%v is %q, want %q", m.ID, names[m.ID], m.Name)
		}
	}
	table.SetMembers(members, now.Add(2))
	if said := table.TakeDecisions(); len(said) != 0 || table.Len() != n {
		t.Errorf("the same list again: %d decisions, %d agents", len(said), table.Len())
	}
}
