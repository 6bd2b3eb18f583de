package detector

import "testing"

func TestOnlyAnActiveAgentIsReportedOnceMore(t *testing.T) {
	table, now := newHundredAgents()
	table.TakeDecisions()
	table.Restate(1, now)
	table.Restate(1000, now) // there is none
	table.Apply([]Sighting{{At: now, ID: 2, Kind: SawShutdown}})
	table.Restate(2, now)
	var got []Decision
	for _, d := range table.TakeDecisions() {
		if d.Verdict == Changed && d.To == Active {
			got = append(got, d)
		}
	}
	if len(got) != 1 || got[0].ID != 1 || got[0].From != Disconnected || got[0].Reason != Reconnected || got[0].Name == "" || got[0].At != now {
		t.Errorf("%+v", got)
	}
	if r, _ := table.Agent(1); r.Status != Active || r.Reason == Reconnected {
		t.Errorf("it has changed: %+v", r)
	}
}
