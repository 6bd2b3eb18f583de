package detector

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
)

func TestAnAgentsGroupFollowsItsInfo(t *testing.T) {
	set := defaults
	set.Groups = []Group{set.Group}
	set.GroupOf = func(_ AgentID, _ string, _ netip.Addr, info Info) int {
		if info.Groups == "web" {
			return 1
		}
		return 0
	}
	table, now := newFleet(2, set)
	table.SetInfo(1, Info{Groups: "web", OSName: "Debian"}, now)
	if r, _ := table.Agent(1); r.Group != 1 || ReadInfo(r.Info).OSName != "Debian" {
		t.Errorf("in group %d with %+v, want 1 by its Wazuh group", r.Group, ReadInfo(r.Info))
	}
	table.Apply([]Sighting{{At: now, ID: 1, Kind: SawShutdown}})
	if got := changesIn(table.TakeDecisions()); len(got) != 1 || got[0].Info.Groups != "web" {
		t.Errorf("decided %+v, want a change with the agent's info", got)
	}
	table.SetInfo(1, Info{}, now)
	table.SetInfo(3, Info{Groups: "web"}, now)
	if r, _ := table.Agent(1); r.Group != 0 || ReadInfo(r.Info) != (Info{}) {
		t.Errorf("in group %d with %+v, want 0 without any", r.Group, ReadInfo(r.Info))
	}
}

// The inputs of any kind are applied in the order in which they were reported.
func TestInputsOfAllKindsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, clock, said := startDetector(t, defaults)
		d.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}})
		want := []string{"a", "b", "b", "c"}
		d.SetInfo(7, Info{Groups: "a"})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawEvent})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawKeepAlive})
		d.SetInfo(7, Info{Groups: "b"})
		d.ReportHost(HostReport{At: clock.Now(), ID: 7})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawShutdown})
		d.SetSilenced([]Silenced{{ID: 8}})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawKeepAlive})
		d.SetInfo(7, Info{Groups: "c"})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawStartup})
		var got []string
		for _, c := range changesIn(said()) {
			got = append(got, c.Info.Groups)
		}
		if !slices.Equal(got, want) {
			t.Errorf("changes with the groups %q, want %q", got, want)
		}
	})
}
