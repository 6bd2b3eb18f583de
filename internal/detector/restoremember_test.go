package detector

import (
	"testing"
	"time"
)

func TestAnAgentOfWhichOnlyTheBucketKnowsIsLostAfterItsTimeout(t *testing.T) {
	t.Parallel()
	table := NewTable(defaults)
	table.SetMembers([]Member{{ID: 1, Name: "web", IP: "any"}, {ID: 2, Name: "db", IP: "any"}, {ID: 3, Name: "mail", IP: "any"}, {ID: 4, Name: "dns", IP: "any"}}, 1)
	table.Apply([]Sighting{{At: 2, ID: 2, Kind: SawKeepAlive}, {At: 3, ID: 3, Kind: SawElsewhere, Token: 1}})
	table.TakeDecisions()
	counts := table.Counts()
	for id := range AgentID(6) {
		if id != 4 {
			table.RestoreMember(id, -Instant(time.Hour))
		}
	}
	counts.ByStatus[NeverConnected]--
	counts.ByStatus[Active]++
	if got := table.Counts(); got != counts || len(table.TakeDecisions()) > 0 {
		t.Errorf("counts %+v, want %+v", got, counts)
	}
	var lost []Decision
	for now := Instant(0); now < Instant(defaults.Timeout+time.Minute); now = now.Add(time.Second) {
		table.Apply([]Sighting{{At: now, ID: 2, Kind: SawKeepAlive}})
		table.Sweep(now)
		for _, d := range table.TakeDecisions() {
			if d.Verdict == Changed && d.To == Disconnected {
				lost = append(lost, d)
			}
		}
	}
	if len(lost) != 1 || lost[0].ID != 1 || lost[0].From != Active || lost[0].LastSeen != -Instant(time.Hour) || !lost[0].Reason.IsLoss() || lost[0].At < Instant(defaults.Timeout) {
		t.Errorf("%+v", lost)
	}
}
