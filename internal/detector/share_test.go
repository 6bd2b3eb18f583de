package detector

import (
	"slices"
	"testing"
	"time"
)

// changeOften makes an agent start, become active and shut down, rounds times in one moment.
func changeOften(t *Table, id AgentID, now Instant, rounds int) {
	var seen []Sighting
	for range rounds {
		for _, kind := range []Kind{SawStartup, SawKeepAlive, SawShutdown} {
			seen = append(seen, Sighting{At: now, ID: id, Kind: kind})
		}
	}
	t.Apply(seen)
}

func TestAnAgentThatChangesWithoutEndIsSummedUpAndEveryChangeIsCounted(t *testing.T) {
	const minutes, perSweep = 5, 600
	table, now := newFleet(100, allFeatures)
	end := now.Add(minutes * time.Minute)
	reported, changed, flaps := 0, 0, 0
	status, reportedAt := Active, now
	var died, known Instant
	take := func() {
		for _, d := range table.TakeDecisions() {
			switch {
			case d.Verdict == Flapping:
				flaps++
			case d.Verdict == Changed && d.ID == 7:
				if d.From != status {
					t.Fatalf("a change from %v follows one to %v", d.From, status)
				}
				status, reportedAt = d.To, now
				reported++
				changed += max(1, d.Changes)
			case d.Verdict == Changed && d.ID == 8:
				known = now
			}
		}
	}
	for n := 0; now < end; n++ {
		now = now.Add(SweepPeriod)
		changeOften(table, 7, now, perSweep/3)
		if n == 100 {
			table.Apply([]Sighting{{At: now, ID: 8, Kind: SawClosed}})
			died = now
		}
		table.Sweep(now)
		take()
		if age := now.Sub(reportedAt); age > 2*time.Second {
			t.Fatalf("no report for %v", age)
		}
	}
	for range 100 {
		now = now.Add(SweepPeriod)
		table.Sweep(now)
		take()
	}
	t.Logf("%d changes in %d minutes, reported in %d decisions", changed, minutes, reported)
	if want := minutes * 600 * (perSweep / 3) * 3; changed != want {
		t.Errorf("the reports stand for %d changes, want %d", changed, want)
	}
	if most := (minutes + 1) * allFeatures.MaxChanges; reported > most+1 {
		t.Errorf("%d reports in %d minutes, want %d at most", reported, minutes, most)
	}
	if status != Disconnected || flaps != 1 {
		t.Errorf("the last report says %v, and %d say that it flaps; want disconnected, and one", status, flaps)
	}
	if delay := known.Sub(died); delay != allFeatures.ReconnectGrace {
		t.Errorf("another agent's death was known after %v, want %v", delay, allFeatures.ReconnectGrace)
	}
}

func TestTheLastStateOfASummedUpAgentIsReportedWithinTwoSeconds(t *testing.T) {
	table, now := newFleet(1, allFeatures)
	changeOften(table, 1, now, 100)
	table.Apply([]Sighting{{At: now, ID: 1, Kind: SawStartup}, {At: now, ID: 1, Kind: SawKeepAlive}})
	table.TakeDecisions()
	_, said := sweepFor(table, now, 2*time.Second, nil)
	got := changesIn(said)
	if len(got) != 1 || got[0].To != Active || got[0].At != now || got[0].Changes != 304-allFeatures.MaxChanges {
		t.Errorf("reported %+v, want one that stands for %d and says active", got, 304-allFeatures.MaxChanges)
	}
}

func TestAnAgentThatChangesTooOftenIsReportedWithoutFlapDetectionToo(t *testing.T) {
	set := allFeatures
	set.FlapThreshold = 0
	table, now := newFleet(2, set)
	changeOften(table, 2, now, 100)
	said := slices.Clone(table.TakeDecisions())
	i := slices.IndexFunc(said, func(d Decision) bool { return d.Verdict == Flapping })
	if i < 0 || said[i].ID != 2 || said[i].Changes != set.MaxChanges+1 {
		t.Errorf("decided %+v, want one that agent 002 flaps", said)
	}
}

func TestWithheldChangesAreReportedWhenTheTableEnds(t *testing.T) {
	table, now := newFleet(3, allFeatures)
	changeOften(table, 1, now, 100)
	changeOften(table, 3, now, 100)
	table.TakeDecisions()
	table.ReportAllWithheld()
	if got := changesIn(table.TakeDecisions()); len(got) != 2 || got[0].ID != 1 || got[1].ID != 3 || got[1].Changes == 0 {
		t.Errorf("reported %+v, want what is withheld of two agents", got)
	}
}

func TestWithheldChangesOfAnAgentThatIsRemovedAreReportedWithItsRemoval(t *testing.T) {
	table, now := newFleet(1, allFeatures)
	changeOften(table, 1, now, 100)
	table.TakeDecisions()
	table.SetMembers([]Member{{ID: 1, Name: "another"}}, now)
	got := changesIn(table.TakeDecisions())
	if len(got) != 1 || got[0].Reason != AgentRemoved || got[0].Changes != 303-allFeatures.MaxChanges || len(table.excess) != 0 {
		t.Errorf("reported %+v, want one removal that stands for %d changes", got, 303-allFeatures.MaxChanges)
	}
	changeOften(table, 1, now, 1)
	if got := changesIn(table.TakeDecisions()); len(got) != 3 {
		t.Errorf("of the agent that follows: %+v, want three changes", got)
	}
}

func TestOrdinaryAgentsAreNeverSummedUp(t *testing.T) {
	table, now := newFleet(1, allFeatures)
	for range 60 { // restarts every 10 s: three changes each
		changeOften(table, 1, now, 1)
		for range 100 {
			now = now.Add(SweepPeriod)
			table.Sweep(now)
		}
	}
	for _, d := range changesIn(table.TakeDecisions()) {
		if d.Changes != 0 {
			t.Fatalf("summed up: %+v", d)
		}
	}
}
