package detector

import (
	"testing"
	"time"
)

// While agents cannot be reached, none is given up, however often ExtendGrace is
// called. Afterwards they have the grace to reconnect, which is no status change.
func TestNoAgentIsGivenUpWithinTheGrace(t *testing.T) {
	const agents, grace = 50, time.Minute
	table, now := newFleet(agents, allFeatures)
	for id := AgentID(1); id <= agents; id++ {
		table.Apply([]Sighting{{At: now, ID: id, Kind: SawClosed}})
	}
	now, said := sweepFor(table, now, 10*defaults.Timeout, func(now Instant) { table.ExtendGrace(now, grace) })
	if got := changesIn(said); len(got) != 0 {
		t.Fatalf("while it is down: %+v", got)
	}
	for id := AgentID(2); id <= agents; id++ {
		table.Apply([]Sighting{{At: now, ID: id, Kind: SawStartup}, {At: now, ID: id, Kind: SawKeepAlive}})
	}
	last := now
	now, said = sweepFor(table, now, grace-SweepPeriod, nil)
	if got := changesIn(said); len(got) != 0 {
		t.Fatalf("in the grace: %+v", got)
	}
	_, said = sweepFor(table, now, 2*SweepPeriod, nil)
	if got := changesIn(said); len(got) != 1 || got[0].ID != 1 || !got[0].Reason.IsLoss() || got[0].At < last.Add(grace-SweepPeriod) {
		t.Errorf("after the grace: %+v, want the one that stayed away lost", got)
	}
}

func TestAKeepAliveThatWasNotSentIsNoMiss(t *testing.T) {
	set := defaults
	set.SuspectTimeout = 0
	table, now := newFleet(1, set)
	var token uint32
	now, said := sweepFor(table, now, set.Interval, nil)
	for _, d := range said {
		if d.Verdict == Send {
			token = d.Token
		}
	}
	if token == 0 {
		t.Fatal("no keep-alive")
	}
	queued := func(now Instant) {
		table.Apply([]Sighting{{At: now, ID: 1, Kind: Unsent, Token: token - 1}, {At: now, ID: 1, Kind: Unsent, Token: token}})
	}
	now, said = sweepFor(table, now, 2*set.RetryInterval, queued)
	if len(said) != 0 {
		t.Fatalf("while it waits: %+v", said)
	}
	now, said = sweepFor(table, now, set.RetryInterval, nil)
	if len(said) != 2 || said[0].Verdict != Failed || said[0].Missed != 1 || said[1].Verdict != Send {
		t.Fatalf("sent and unanswered: %+v, want a miss", said)
	}
	// It is no sign of life either.
	token = said[1].Token
	_, said = sweepFor(table, now, set.Timeout, queued)
	if got := changesIn(said); len(got) != 1 || got[0].Reason != KeepAliveTimeout || got[0].Missed != 1 {
		t.Errorf("silent for a whole timeout: %+v", said)
	}
}

func TestAMoveIsNoLoss(t *testing.T) {
	table, now := newFleet(3, allFeatures)
	members := []Member{{ID: 1, Name: "001", IP: "any"}, {ID: 2, Name: "002", IP: "any", Elsewhere: true},
		{ID: 4, Name: "new", IP: "any", Elsewhere: true}}
	table.SetMembers(members, now.Add(1))
	got := changesIn(table.TakeDecisions())
	if len(got) != 2 || got[0].ID != 2 || got[0].Reason != AgentMoved || got[1].ID != 3 || got[1].Reason != AgentRemoved {
		t.Errorf("%+v, want 2 moved and 3 removed", got)
	}
	if table.Len() != 1 || table.Counts().ByStatus != [4]int{Active: 1} {
		t.Errorf("%d agents, by status %v", table.Len(), table.Counts().ByStatus)
	}
	members[1].Elsewhere = false
	table.SetMembers(members[:2], now.Add(2))
	table.Apply([]Sighting{{At: now.Add(3), ID: 2, Kind: SawKeepAlive}})
	if got := changesIn(table.TakeDecisions()); len(got) != 1 || got[0].ID != 2 || got[0].To != Active {
		t.Errorf("moved back: %+v", got)
	}
}

func TestANewMemberMayBeKnownToBeAway(t *testing.T) {
	table := NewTable(allFeatures)
	table.SetMembers([]Member{{ID: 1, Name: "web", IP: "any", Away: KeepAliveTimeout}, {ID: 2, Name: "db", IP: "any"}}, 1)
	if said := table.TakeDecisions(); len(said) != 0 || table.Counts().ByStatus != [4]int{Disconnected: 1, NeverConnected: 1} {
		t.Fatalf("%+v, by status %v", said, table.Counts().ByStatus)
	}
	table.Apply([]Sighting{{At: 2, ID: 1, Kind: SawKeepAlive}, {At: 2, ID: 2, Kind: SawKeepAlive}})
	got := changesIn(table.TakeDecisions())
	if len(got) != 2 || got[0].Reason != Reconnected || got[0].From != Disconnected || got[1].Reason != Connected {
		t.Errorf("they come: %+v", got)
	}
	if table.Counts().ByStatus != [4]int{Active: 2} {
		t.Errorf("by status %v", table.Counts().ByStatus)
	}
}
