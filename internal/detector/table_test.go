package detector

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTableAgreesWithTheModel drives table and model through the same random
// history and wants the same decisions, agent by agent.
func TestTableAgreesWithTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSettings(t)
		table, ref := NewTable(set), newModel(set)
		said := map[AgentID][]Decision{}
		take := func() {
			for _, d := range table.Take() {
				said[d.ID] = append(said[d.ID], d)
			}
		}
		now := Instant(0)
		members := []Member{{1, "one", "any"}, {2, "two", "10.0.0.0/8"}, {3, "three", "10.1.1.1"}}
		table.SetMembers(members, now)
		ref.members(members, now)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, 1, 100 * time.Millisecond, time.Second, 7 * time.Second,
				set.RetryInterval, set.Interval, set.Timeout}).Draw(t, "after"))
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				members := drawMembers(t)
				table.SetMembers(members, now)
				ref.members(members, now)
			case 1, 2, 3:
				table.Sweep(now)
				ref.sweep(now)
			default:
				s := Sighting{At: now, ID: AgentID(rapid.IntRange(1, 4).Draw(t, "agent")),
					Kind: Kind(rapid.IntRange(0, int(SawClosed)).Draw(t, "kind"))}
				if a := ref.agents[s.ID]; a != nil {
					s.Token = a.token - uint32(rapid.IntRange(0, 1).Draw(t, "stale"))
				}
				if rapid.Bool().Draw(t, "addressed") {
					s.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(t, "addr"))})
				}
				table.Apply([]Sighting{s})
				ref.see(s)
			}
			take()
		}
		for slot := range table.state { // bring both to the same moment
			if table.state[slot].has(used) {
				table.Apply([]Sighting{{At: now, ID: table.state[slot].id, Kind: SawEvent}})
				ref.see(Sighting{At: now, ID: table.state[slot].id, Kind: SawEvent})
			}
		}
		take()
		var counts [4]int
		page, _ := table.Page(nil, 0)
		for _, r := range page {
			counts[r.Status]++
			if a := ref.agents[r.ID]; a == nil || a.status != r.Status || a.missed != r.Missed {
				t.Fatalf("the table has %+v, the model %+v", r, a)
			}
		}
		if counts != table.Counts() || len(page) != len(ref.agents) || table.Len() != len(page) {
			t.Fatalf("%v agents by status, counted %v; %d records of %d agents", counts, table.Counts(), len(page), len(ref.agents))
		}
		if diff := cmp.Diff(ref.said, said); diff != "" {
			t.Fatalf("model (-) and table (+) differ with %+v:\n%s", set, diff)
		}
	})
}

func drawSettings(t *rapid.T) Settings {
	seconds := func(label string, lo, hi int) time.Duration {
		return time.Duration(rapid.IntRange(lo*10, hi*10).Draw(t, label)) * 100 * time.Millisecond
	}
	set := Settings{
		Interval:       seconds("interval", 1, 90),
		RetryInterval:  seconds("retry_interval", 1, 40),
		ReconnectGrace: seconds("reconnect_grace", 0, 5),
		MaxMissed:      rapid.IntRange(1, 4).Draw(t, "max_missed"),
		Method:         Method(rapid.IntRange(0, 2).Draw(t, "method")),
	}
	set.Timeout = set.Interval + seconds("timeout beyond interval", 0, 200)
	return set
}

func drawMembers(t *rapid.T) []Member {
	var list []Member
	for id := AgentID(1); id <= 4; id++ {
		if rapid.Bool().Draw(t, "kept") {
			list = append(list, Member{id, rapid.SampledFrom([]string{"one", "two"}).Draw(t, "name"), "any"})
		}
	}
	return list
}
