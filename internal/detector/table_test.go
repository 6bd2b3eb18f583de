package detector

import (
	"fmt"
	"math/bits"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTableAgreesWithTheModel runs table and model through the same random history, and
// requires the same decisions in the same order.
func TestTableAgreesWithTheModel(t *testing.T) { rapid.Check(t, playHistory) }

// FuzzInputs plays histories that a fuzzer finds.
func FuzzInputs(f *testing.F) { f.Fuzz(rapid.MakeFuzz(playHistory)) }

// playHistory runs table and model through a random history.
func playHistory(t *rapid.T) {
	set := drawSettings(t)
	table, ref := NewTable(set), newModel(set)
	var said []Decision
	now, silences := Instant(time.Hour), 0
	members := drawMembers(t)
	table.SetMembers(members, now)
	ref.setMembers(members, now)
	for range rapid.IntRange(1, 150).Draw(t, "steps") {
		now = now.Add(rapid.SampledFrom([]time.Duration{0, 1, 100 * time.Millisecond, time.Second, 7 * time.Second,
			set.RetryInterval, set.Interval, set.Timeout, set.FlapWindow, set.OutageHold}).Draw(t, "after"))
		switch rapid.IntRange(0, 31).Draw(t, "step") {
		case 0:
			members := drawMembers(t)
			table.SetMembers(members, now)
			ref.setMembers(members, now)
		case 1:
			lull := rapid.SampledFrom([]time.Duration{2 * time.Second, time.Hour}).Draw(t, "lull")
			table.Resume(now, lull)
			ref.resume(now, lull)
		case 2, 3, 4:
			table.Sweep(now)
			ref.runSweep(now)
		case 5, 6: // all agents at once
			kind, network := drawKind(t), rapid.SampledFrom([]AgentID{1, 2, 12}).Draw(t, "networks")
			for _, a := range ref.slots {
				if a != nil {
					applyToBoth(table, ref, Sighting{At: now, ID: a.id, Kind: kind, Addr: netip.AddrFrom4([4]byte{10, 0, byte(a.id / network), byte(a.id % network)})})
				}
			}
		case 7, 8, 9: // a few regular keep-alives
			id, gap := drawID(t), rapid.SampledFrom([]time.Duration{time.Second, 5 * time.Second, 20 * time.Second}).Draw(t, "gap")
			for range rapid.IntRange(1, 8).Draw(t, "beats") {
				applyToBoth(table, ref, Sighting{At: now, ID: id, Kind: SawKeepAlive})
				now = now.Add(gap)
			}
		case 10, 11, 12:
			id := drawID(t)
			for range rapid.IntRange(1, 5).Draw(t, "wishes") {
				probeBoth(t, table, ref, id, now)
				now = now.Add(rapid.SampledFrom([]time.Duration{0, 1234567, 700 * time.Millisecond, 2 * time.Second}).Draw(t, "rtt"))
				if a := ref.agents[id]; a != nil && rapid.Bool().Draw(t, "answered") {
					applyToBoth(table, ref, Sighting{At: now, ID: id, Kind: SawAnswer, Token: a.token})
				}
			}
		case 14: // a link that cannot ask all at once
			for _, a := range ref.slots {
				if a != nil && a.id > AgentID(rapid.IntRange(0, 8).Draw(t, "asked")) {
					applyToBoth(table, ref, Sighting{At: now, ID: a.id, Kind: Unsent, Token: a.token})
				}
			}
		case 15: // a fleet with habits falls silent, beside a link that cannot ask all at once
			if silences++; silences <= 2 {
				now = sweepBoth(t, table, ref, now)
			}
		case 27, 28, 29:
			claimBoth(t, table, ref, now)
		case 30:
			replaceBoth(t, table, ref, now)
		case 13: // one that changes as fast as it can
			id := drawID(t)
			for range rapid.IntRange(1, 20).Draw(t, "rounds") {
				for _, kind := range []Kind{SawStartup, SawKeepAlive, SawShutdown} {
					applyToBoth(table, ref, Sighting{At: now, ID: id, Kind: kind})
				}
				now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, 3 * time.Second}).Draw(t, "gap"))
			}
		case 16, 17:
			silenceBoth(t, table, ref, now)
		case 18, 19, 20, 21: // hosts that were probed
			reportHosts(t, table, ref, now)
		case 22:
			id, info := drawID(t), Info{Groups: rapid.SampledFrom([]string{"", "web", "db"}).Draw(t, "groups")}
			table.SetInfo(id, info, now)
			ref.setInfo(id, info, now)
		case 25, 26:
			now = makePassive(t, table, ref, now)
		default:
			s := Sighting{At: now, ID: drawID(t), Kind: drawKind(t)}
			if a := ref.agents[s.ID]; a != nil {
				s.Token = a.token - uint32(rapid.IntRange(0, 1).Draw(t, "stale"))
			}
			if rapid.Bool().Draw(t, "addressed") {
				s.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(t, "addr"))})
			}
			applyToBoth(table, ref, s)
		}
		said = append(said, table.TakeDecisions()...)
	}
	table.Sweep(now)
	ref.runSweep(now)
	table.ReportAllWithheld()
	ref.reportAllWithheld()
	said = append(said, table.TakeDecisions()...)
	compareDecisions(t, ref.decisions, said)
	compareRecords(t, table, ref)
}

func applyToBoth(table *Table, ref *model, s Sighting) {
	table.Apply([]Sighting{s})
	ref.applySightings(s)
}

func silenceBoth(t *rapid.T, table *Table, ref *model, now Instant) {
	var changes []Silenced
	first, on := drawID(t), rapid.Bool().Draw(t, "on")
	for range rapid.SampledFrom([]int{1, 2, fleetSize}).Draw(t, "silenced") {
		changes = append(changes, Silenced{ID: first, On: on})
		first = first%(fleetSize+1) + 1
	}
	table.SetSilenced(changes, now)
	ref.setSilenced(changes, now)
}

// reportHosts reports about some of the hosts that were probed, also wrongly, and too late.
func reportHosts(t *rapid.T, table *Table, ref *model, now Instant) {
	skipped := AgentID(rapid.IntRange(0, fleetSize).Draw(t, "no report"))
	stale := uint32(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "stale"))
	host := Host(rapid.IntRange(0, 2).Draw(t, "host"))
	late := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 900 * time.Millisecond, ProbeWait}).Draw(t, "late")
	for id := AgentID(1); id <= fleetSize; id++ {
		if a := ref.agents[id]; a != nil && id != skipped {
			r := HostReport{ID: id, Token: a.probeToken() - stale, At: now.Add(late), Host: host, Probe: "icmp"}
			table.ReportHost(r)
			ref.reportHost(r)
		}
	}
}

func sweepBoth(t *rapid.T, table *Table, ref *model, now Instant) Instant {
	alive := func(id AgentID, kind Kind) {
		if a := ref.agents[id]; a != nil {
			applyToBoth(table, ref, Sighting{At: now, ID: id, Kind: kind, Token: a.token})
		}
	}
	for range 6 {
		for id := AgentID(1); id <= fleetSize; id++ {
			alive(id, SawKeepAlive)
		}
		now = now.Add(5 * time.Second)
	}
	asked, answering := drawID(t), AgentID(rapid.IntRange(0, 3).Draw(t, "answering"))
	for range rapid.IntRange(1, 60).Draw(t, "silence") {
		now = now.Add(time.Second)
		table.Sweep(now)
		ref.runSweep(now)
		for id := asked + 1; id <= fleetSize; id++ {
			alive(id, Unsent)
		}
		if answering > 0 && rapid.IntRange(0, 9).Draw(t, "answers") == 0 {
			alive(answering, SawAnswer)
		}
	}
	return now
}

func probeBoth(t *rapid.T, table *Table, ref *model, id AgentID, now Instant) {
	got, err := table.ProbeNow(id, now)
	want, wantErr := ref.probeNow(id, now)
	if got != want || err != wantErr {
		t.Fatalf("hastening %v: %+v, %v by the table, %+v, %v by the model", id, got, err, want, wantErr)
	}
}

// compareDecisions fails with the first decision that differs, and those before it.
func compareDecisions(t rapid.TB, want, got []Decision) {
	for i := range max(len(want), len(got)) {
		if i < len(want) && i < len(got) && cmp.Equal(want[i], got[i], samePrefix, sameAddr) {
			continue
		}
		for _, d := range got[max(0, i-5):min(i, len(got))] {
			t.Logf("both: %+v", d)
		}
		if i < len(want) {
			t.Logf("the model then: %+v %+v", want[i], want[i].Fleet)
		}
		if i < len(got) {
			t.Logf("the table then: %+v %+v", got[i], got[i].Fleet)
		}
		t.Fatalf("decision %d differs (%d by the model, %d by the table)", i, len(want), len(got))
	}
}

var (
	samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	sameAddr   = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
)

func compareRecords(t *rapid.T, table *Table, ref *model) {
	var counts [4]int
	sleeping := 0
	page, _ := table.Page(nil, 0)
	for _, r := range page {
		if !r.Elsewhere {
			counts[r.Status]++
		}
		a := ref.agents[r.ID]
		if a == nil || a.status != r.Status || a.missed != r.Missed || a.dormant != r.Dormant || a.step != int(r.Step) || a.info != r.Info.Value() || a.isAway() != r.Elsewhere ||
			ref.silenced[r.ID] != r.Silenced || (r.Evidence != nil) != (r.Status == Disconnected) || r.Evidence != nil && r.Evidence.Host != HostUnknown && a.probed.host != r.Evidence.Host {
			t.Fatalf("the table has %+v, the model %+v", r, a)
		}
		if r.Dormant {
			sleeping++
		}
	}
	if n := table.Counts().Dormant; n != sleeping {
		t.Fatalf("%d agents are dormant, counted %d", sleeping, n)
	}
	if watched, silenced := table.countWatchedAgents(), ref.countWatched(); watched != silenced || table.unresponsive != ref.countUnresponsive() {
		t.Fatalf("%d agents are watched and not silenced, %d unresponsive; %d and %d by the model", watched, table.unresponsive, silenced, ref.countUnresponsive())
	}
	if counts != table.Counts().ByStatus || counts != ref.counts || len(page) != len(ref.agents) || table.Len() != len(page) {
		t.Fatalf("%v agents by status, counted %v; %d records of %d agents", counts, table.Counts().ByStatus, len(page), len(ref.agents))
	}
	for slot, a := range ref.slots {
		if a != nil && a.isWatched() != table.state[slot].isWatched() {
			t.Fatalf("agent %v is watched by one only", a.id)
		}
	}
}

func drawID(t *rapid.T) AgentID { return AgentID(rapid.IntRange(1, fleetSize+1).Draw(t, "agent")) }

func drawKind(t *rapid.T) Kind { return Kind(rapid.IntRange(0, int(ClosedInDoubt)).Draw(t, "kind")) }

// fleetSize is enough for an outage.
const fleetSize = minOutage + 5

func drawSettings(t *rapid.T) Settings {
	seconds := func(label string, lo, hi int) time.Duration {
		return time.Duration(rapid.IntRange(lo*10, hi*10).Draw(t, label)) * 100 * time.Millisecond
	}
	set := Settings{
		Group:          Group{Interval: seconds("interval", 1, 90), MaxMissed: rapid.IntRange(1, 4).Draw(t, "max_missed")},
		RetryInterval:  seconds("retry_interval", 1, 40),
		SuspectTimeout: seconds("suspect_timeout", 0, 8),
		ReconnectGrace: seconds("reconnect_grace", 0, 5),
		Method:         Method(rapid.IntRange(0, 2).Draw(t, "method")),
		OutageShare:    rapid.SampledFrom([]float64{0, 0.3, 0.9}).Draw(t, "outage_share"),
		OutageHold:     seconds("outage_hold", 0, 100),
		FlapThreshold:  rapid.IntRange(0, 4).Draw(t, "flap_threshold"),
		FlapWindow:     seconds("flap_window", 1, 600),
		MaxChanges:     rapid.SampledFrom([]int{0, 1, 3, 7, 30}).Draw(t, "max_changes"),
	}
	set.HostProbe = rapid.Bool().Draw(t, "host_probe")
	set.EscalateAfter = rapid.SampledFrom([][]time.Duration{nil, {time.Second}, {time.Minute, time.Hour, 24 * time.Hour}, {0, time.Second, time.Second}}).Draw(t, "escalate_after")
	set.DormantAfter = rapid.SampledFrom([]time.Duration{0, 30 * time.Second, time.Hour}).Draw(t, "dormant_after")
	set.Timeout = set.Interval + seconds("timeout beyond interval", 0, 200)
	if rapid.Bool().Draw(t, "grouped") {
		set.Groups = []Group{{Interval: 20 * time.Second, Timeout: 45 * time.Second, MaxMissed: 2}}
		set.GroupOf = func(id AgentID, name string, addr netip.Addr, info Info) int {
			if id == 3 || name == "two" || info.Groups == "web" || addr == netip.AddrFrom4([4]byte{10, 0, 0, 1}) {
				return 1
			}
			return 0
		}
	}
	return set
}

func drawMembers(t *rapid.T) []Member {
	var list []Member
	for id := AgentID(1); id <= fleetSize; id++ {
		if id > 4 || rapid.Bool().Draw(t, "kept") {
			name := "one"
			if id <= 4 {
				name = rapid.SampledFrom([]string{"one", "two"}).Draw(t, "name")
			}
			list = append(list, Member{ID: id, Name: name, IP: "any"})
		}
	}
	return list
}

func TestColumnsKeepToALineOfTheCache(t *testing.T) {
	for _, column := range []any{state{}, identity{}} {
		if size := reflect.TypeOf(column).Size(); size != 64 && bits.UintSize == 64 {
			t.Errorf("%T has %d bytes, want 64", column, size)
		}
	}
}

// The sweep waits for a page, most of whose cost is to write its records.
func TestARecordOfAPageIsSmall(t *testing.T) {
	if size := reflect.TypeFor[Record]().Size(); size > 112 {
		t.Errorf("a record has %d bytes, want 112 at most: put what few agents have behind a pointer", size)
	}
}

// TestSlotIndexIsAMap runs an index and a map through the same history.
func TestSlotIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x slotIndex
		want := make(map[AgentID]int32)
		ids := rapid.OneOf(rapid.Uint32Range(1, 5), rapid.Uint32Range(1020, 1030), rapid.Uint32Range(1, uint32(MaxAgentID)))
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			id := AgentID(ids.Draw(t, "id"))
			slot, ok := x.findAgentSlot(id)
			if w, there := want[id]; ok != there || ok && slot != w {
				t.Fatalf("%v is in slot %d, %v; want %d, %v", id, slot, ok, w, there)
			}
			if ok {
				x.removeAgentSlot(id)
				delete(want, id)
			} else {
				slot := rapid.Int32Range(0, 10_000_000).Draw(t, "slot")
				x.addAgentSlot(id, slot)
				want[id] = slot
			}
			if x.count != len(want) {
				t.Fatalf("%d ids, want %d", x.count, len(want))
			}
		}
		if _, ok := x.findAgentSlot(1<<32 - 1); ok {
			t.Error("an id beyond all others is there")
		}
	})
}

// Half of 100000 agents are removed from the inventory, the other half is renamed, and
// as many are new: the table holds exactly the new list, and reports each change.
func TestAWholeInventoryMayChange(t *testing.T) {
	const n = 100_000
	table, now := newFleet(n, allFeatures)
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
	if len(removed) != n || table.Counts().ByStatus != [4]int{NeverConnected: n} || table.Len() != n {
		t.Errorf("%d removed, %v by status, %d in all", len(removed), table.Counts().ByStatus, table.Len())
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
