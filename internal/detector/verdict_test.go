package detector

import (
	"slices"
	"testing"
	"time"
)

// allVerdicts are the daemon's default settings, with all that makes an alert better.
var allVerdicts = func() Settings {
	set := allFeatures
	set.HostProbe, set.EscalateAfter, set.DormantAfter = true, []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, 3*time.Hour
	return set
}()

func newVerdictFleet(n int) (*Table, Instant) {
	table, now := newFleet(n, allVerdicts)
	for id := AgentID(1); int(id) <= n; id++ {
		table.Apply([]Sighting{{At: now, ID: id, Addr: addressOf(id), Kind: SawEvent}})
	}
	table.TakeDecisions()
	return table, now
}

func TestVerdicts(t *testing.T) {
	const minute, s = time.Minute, time.Second
	for _, tt := range []struct {
		name  string
		end   time.Duration
		story []storyEvent
		want  []string
	}{
		{"a killed agent's host answers, and it is an alert again after each step", 63 * minute,
			[]storyEvent{{minute, 7, 7, crash}},
			[]string{
				"1m2s: 1 × disconnected by connection_lost, host answers by icmp",
				"2m2s: 1 × step 1 of connection_lost, away for 1m0s, host answers by icmp",
				"1h1m2s: 1 × step 2 of connection_lost, away for 1h0m0s, host answers by icmp",
			}},
		{"the host of a dead machine is silent, too", 5 * minute,
			[]storyEvent{{minute, 7, 7, cutHost}, {minute, 7, 7, crash}, {minute + 50*s, 7, 7, back}},
			[]string{
				"1m2s: 1 × disconnected by connection_lost, host silent by icmp",
				"1m50s: 1 × active by reconnected",
			}},
		{"a reboot with a goodbye is no alert", 5 * minute,
			[]storyEvent{{minute, 7, 7, stop}, {minute + 59*s, 7, 7, back}},
			[]string{"1m0s: 1 × disconnected by agent_shutdown", "1m59s: 1 × active by reconnected"}},
		{"who says goodbye and stays away is one", 5 * minute,
			[]storyEvent{{minute, 7, 7, stop}, {3 * minute, 7, 7, back}},
			[]string{
				"1m0s: 1 × disconnected by agent_shutdown",
				"2m0s: 1 × step 1 of agent_shutdown, away for 1m0s",
				"3m0s: 1 × active by reconnected",
			}},
		{"after an outage one alert comes, of the step that was reached", 70 * minute,
			[]storyEvent{{minute, 1, 40, crash}, {62 * minute, 2, 40, back}},
			[]string{
				"1m2s: 40 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 40 of 100 lost, 40 closed, 0 silent, 0 back, 1 networks, 10 of 10 hosts answer",
				"1h2m0s: 39 × active by reconnected",
				"1h2m0s: outage over: 40 of 100 lost, 40 closed, 0 silent, 39 back, 1 networks, 10 of 10 hosts answer",
				"1h3m0s: 1 × step 2 of connection_lost, away for 1h1m58s, host answers by icmp, part of an outage",
			}},
		{"in an outage of the network the sample is silent", 5 * minute,
			[]storyEvent{{minute, 1, 40, cutHost}, {minute, 1, 40, crash}, {3 * minute, 1, 40, back}},
			[]string{
				"1m2s: 40 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 40 of 100 lost, 40 closed, 0 silent, 0 back, 1 networks, 0 of 10 hosts answer",
				"3m0s: 40 × active by reconnected",
				"3m0s: outage over: 40 of 100 lost, 40 closed, 0 silent, 40 back, 0 networks, 0 of 10 hosts answer",
			}},
		{"a kill in a silence is shown, and is one alert at its end", 10 * minute,
			[]storyEvent{{0, 7, 8, silence}, {minute, 7, 8, crash}, {4 * minute, 8, 8, back}, {5 * minute, 7, 8, unsilence}},
			[]string{
				"1m2s: 2 × disconnected by connection_lost, host answers by icmp, silenced, alert held",
				"4m0s: 1 × active by reconnected, silenced",
				"5m0s: 1 × step 1 of connection_lost, away for 3m58s, host answers by icmp",
			}},
		{"a silence that ends before the first step releases the loss", 90 * s,
			[]storyEvent{{0, 7, 7, silence}, {minute, 7, 7, crash}, {80 * s, 7, 7, unsilence}},
			[]string{
				"1m2s: 1 × disconnected by connection_lost, host answers by icmp, silenced, alert held",
				"1m20s: 1 × alert of connection_lost, host answers by icmp",
			}},
		{"a silence that begins after the loss holds its steps", 65 * minute,
			[]storyEvent{{minute, 7, 7, crash}, {90 * s, 7, 7, silence}, {63 * minute, 7, 7, unsilence}},
			[]string{
				"1m2s: 1 × disconnected by connection_lost, host answers by icmp",
				"1h3m0s: 1 × step 2 of connection_lost, away for 1h1m58s, host answers by icmp",
			}},
		{"silenced agents are no outage", 3 * minute,
			[]storyEvent{{0, 1, 40, silence}, {minute, 1, 40, stop}, {minute + s, 41, 57, crash}, {2 * minute, 1, 57, back}},
			[]string{
				"1m0s: 40 × disconnected by agent_shutdown, silenced, alert held",
				"1m3s: 17 × disconnected by connection_lost, host answers by icmp",
				"2m0s: 40 × active by reconnected, silenced",
				"2m0s: 17 × active by reconnected",
			}},
		{"twenty of the sixty that are not silenced are one", 90 * s,
			[]storyEvent{{0, 1, 40, silence}, {minute, 1, 60, crash}},
			[]string{
				"1m2s: 10 × disconnected by connection_lost, part of an outage, alert held", // the rest waited to be probed
				"1m2s: 40 × disconnected by connection_lost, silenced, alert held",
				"1m2s: 10 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 20 of 60 lost, 20 closed, 0 silent, 0 back, 1 networks, 10 of 10 hosts answer",
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table, now := newVerdictFleet(100)
			checkStory(t, runStory(table, now, tt.story, tt.end), tt.want)
		})
	}
}

func TestTheHostOfAnAddressThatTwoAgentsHaveIsNotProbed(t *testing.T) {
	table, now := newVerdictFleet(3)
	table.Apply([]Sighting{{At: now, ID: 2, Addr: addressOf(1), Kind: SawEvent}})
	got := runStory(table, now, []storyEvent{{0, 1, 1, crash}, {3 * time.Second, 3, 3, crash}}, 10*time.Second)
	checkStory(t, got, []string{
		"2s: 1 × disconnected by connection_lost",
		"5s: 1 × disconnected by connection_lost, host answers by icmp",
	})
}

// An address of an agent that has been away for long may have been given to another.
func TestADormantAgentKeepsNobodysHostFromBeingProbed(t *testing.T) {
	table, now := newVerdictFleet(3)
	got := runStory(table, now, []storyEvent{{0, 1, 1, crash}}, allVerdicts.DormantAfter+time.Minute)
	now = now.Add(allVerdicts.DormantAfter + time.Minute)
	table.Apply([]Sighting{{At: now, ID: 2, Addr: addressOf(1), Kind: SawEvent}})
	got = append(got, runStory(table, now, []storyEvent{{0, 2, 2, crash}, {5 * time.Second, 1, 1, back}, {10 * time.Second, 1, 1, crash}}, 15*time.Second)...)
	checkStory(t, got, []string{
		"2s: 1 × disconnected by connection_lost, host answers by icmp",
		"1m2s: 1 × step 1 of connection_lost, away for 1m0s, host answers by icmp",
		"1h0m2s: 1 × step 2 of connection_lost, away for 1h0m0s, host answers by icmp",
		"2s: 1 × disconnected by connection_lost, host answers by icmp",
		"5s: 1 × active by reconnected",
		"12s: 1 × disconnected by connection_lost",
	})
}

// A loss waits for its host's probe for a second, and a sign of life cancels it.
func TestALossWaitsForItsProbe(t *testing.T) {
	for _, tt := range []struct {
		name   string
		after  time.Duration // the loss
		sign   bool
		report HostReport
		want   Host
		lost   bool
	}{
		{"nothing comes", ProbeWait, false, HostReport{ID: 2}, HostUnknown, true},
		{"it is not over before the second", ProbeWait - 1, false, HostReport{ID: 2}, HostUnknown, false},
		{"the report comes", ProbeWait - 1, false, HostReport{ID: 1, Token: 1, Host: HostAnswers, Probe: "icmp"}, HostAnswers, true},
		{"it comes too late", ProbeWait, false, HostReport{ID: 1, Token: 1, Host: HostAnswers, Probe: "icmp"}, HostUnknown, true},
		{"it is of another probe", ProbeWait, false, HostReport{ID: 1, Token: 2, Host: HostAnswers, Probe: "icmp"}, HostUnknown, true},
		{"the agent is back", ProbeWait - 1, true, HostReport{ID: 2}, HostUnknown, false},
		{"the agent is back before the report", ProbeWait - 1, true, HostReport{ID: 1, Token: 1, Host: HostAnswers, Probe: "icmp"}, HostUnknown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newVerdictFleet(2)
			table.Apply([]Sighting{{At: now, ID: 1, Kind: SawClosed}})
			now = now.Add(allVerdicts.ReconnectGrace)
			lostAt := now
			table.Sweep(now)
			if asked := table.TakeDecisions(); len(asked) != 1 || asked[0].Verdict != ProbeHost || asked[0].Addr != addressOf(1) || asked[0].Token != 1 {
				t.Fatalf("decided %+v, want a probe of the host", asked)
			}
			now = now.Add(tt.after)
			if tt.sign {
				table.Apply([]Sighting{{At: now, ID: 1, Kind: SawEvent}})
			}
			tt.report.At = now
			table.ReportHost(tt.report)
			table.Sweep(now)
			got := changesIn(table.TakeDecisions())
			if len(got) > 0 != tt.lost {
				t.Fatalf("changes %+v, want a loss: %v", got, tt.lost)
			}
			if tt.lost && (got[0].Host != tt.want || got[0].At != lostAt || !got[0].Closed || got[0].SilentFor != allVerdicts.ReconnectGrace) {
				t.Errorf("lost with %+v, want that the host is %v", got[0], tt.want)
			}
		})
	}
}

func TestFiftyHostsASecondAreProbed(t *testing.T) {
	set := allVerdicts
	set.OutageShare = 0
	table, now := newFleet(200, set)
	var closed []Sighting
	for id := AgentID(1); id <= 200; id++ {
		table.Apply([]Sighting{{At: now, ID: id, Addr: addressOf(id), Kind: SawEvent}})
		closed = append(closed, Sighting{At: now.Add(time.Duration(id) * 10 * time.Millisecond), ID: id, Kind: SawClosed})
	}
	table.Apply(closed)
	table.TakeDecisions()
	_, said := sweepFor(table, now, 10*time.Second, nil)
	var probes []Instant
	lost := 0
	for _, d := range said {
		switch d.Verdict {
		case ProbeHost:
			probes = append(probes, d.At)
		case Changed:
			lost++
		}
	}
	for i := maxProbes; i < len(probes); i++ {
		if d := probes[i].Sub(probes[i-maxProbes]); d < time.Second {
			t.Errorf("%d hosts are probed within %v", maxProbes+1, d)
		}
	}
	if lost != 200 || len(probes) < 100 {
		t.Errorf("%d of 200 are lost, %d hosts probed", lost, len(probes))
	}
}

func TestAnAgentThatIsAwayForLongIsDormant(t *testing.T) {
	table, now := newVerdictFleet(3)
	table.Apply([]Sighting{{At: now, ID: 1, Kind: SawShutdown}, {At: now, ID: 2, Kind: SawShutdown}})
	check := func(at time.Duration, want int) {
		t.Helper()
		table.Apply([]Sighting{{At: now.Add(at), ID: 3, Kind: SawEvent}})
		table.Sweep(now.Add(at))
		r, _ := table.Agent(1)
		if n := table.Counts().Dormant; n != want || r.Dormant != (want > 0) {
			t.Errorf("after %v %d agents are dormant, the first %v; want %d", at, n, r.Dormant, want)
		}
	}
	check(allVerdicts.DormantAfter-1, 0)
	check(allVerdicts.DormantAfter, 2)
	table.Apply([]Sighting{{At: now.Add(allVerdicts.DormantAfter + 1), ID: 2, Kind: SawKeepAlive}})
	check(allVerdicts.DormantAfter+2, 1)
	set := allVerdicts
	set.DormantAfter = 0
	table.SetSettings(set, now.Add(allVerdicts.DormantAfter+3))
	check(allVerdicts.DormantAfter+4, 0)
	table.SetSettings(allVerdicts, now.Add(allVerdicts.DormantAfter+5))
	check(allVerdicts.DormantAfter+6, 1)
	table.SetMembers(nil, now.Add(allVerdicts.DormantAfter+7))
	if n := table.Counts().Dormant; n != 0 {
		t.Errorf("%d agents are dormant, and there are none", n)
	}
}

func TestAnAgentThatWasAwayBeforeItWasWatchedDoesNotEscalate(t *testing.T) {
	table := NewTable(allVerdicts)
	table.SetMembers([]Member{{ID: 1, Name: "web", IP: "any", Away: AgentShutdown}}, 1)
	if _, said := sweepFor(table, 1, 2*time.Hour, nil); len(said) > 0 {
		t.Errorf("decided %+v, want nothing", said)
	}
	now, said := sweepFor(table, Instant(2*time.Hour), 90*time.Minute, nil)
	if r, _ := table.Agent(1); len(said) > 0 || !r.Dormant || table.Counts().Dormant != 1 {
		t.Errorf("%+v, decided %+v; want a dormant agent", r, said)
	}
	table.Apply([]Sighting{{At: now, ID: 1, Kind: SawKeepAlive}, {At: now, ID: 1, Kind: SawShutdown}})
	if _, said = sweepFor(table, now, 2*time.Minute, nil); len(said) != 3 || said[2].Verdict != Escalated {
		t.Errorf("decided %+v, want that it escalates when it leaves again", said)
	}
}

// Steps that an absence has by new settings, and not by the old, are not reported, but for
// the first one that was still to come: no reload forgets it.
func TestNewStepsDoNotReportOldAbsences(t *testing.T) {
	const minute = time.Minute
	for _, tt := range []struct {
		name          string
		before, after []time.Duration
		want          []string
	}{
		{"there were none", nil, []time.Duration{minute, 20 * minute}, []string{"20m0s: 1 × step 2 of agent_shutdown, away for 20m0s"}},
		{"it has had one", []time.Duration{5 * minute, time.Hour}, []time.Duration{minute, 2 * minute, 20 * minute},
			[]string{"5m0s: 1 × step 1 of agent_shutdown, away for 5m0s", "20m0s: 1 × step 3 of agent_shutdown, away for 20m0s"}},
		{"its first was still to come, and is due by now", []time.Duration{11 * minute}, []time.Duration{minute, 20 * minute},
			[]string{"10m0s: 1 × step 1 of agent_shutdown, away for 10m0s", "20m0s: 1 × step 2 of agent_shutdown, away for 20m0s"}},
		{"its first was still to come, and still is", []time.Duration{11 * minute}, []time.Duration{12 * minute},
			[]string{"12m0s: 1 × step 1 of agent_shutdown, away for 12m0s"}},
		{"there are none any more", []time.Duration{11 * minute}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := allVerdicts
			set.EscalateAfter = tt.before
			table, now := newFleet(1, set)
			start := now
			table.Apply([]Sighting{{At: now, ID: 1, Kind: SawShutdown}})
			table.TakeDecisions()
			now, said := sweepFor(table, now, 10*minute, nil)
			set.EscalateAfter = tt.after
			table.SetSettings(set, now)
			_, later := sweepFor(table, now, 40*minute, nil)
			all := append(slices.Clone(said), later...)
			for i := range all {
				all[i].At = all[i].At.Add(all[i].AwayFor) // when it is reported
			}
			checkStory(t, describeAll(all, start), tt.want)
		})
	}
}

// A silence is of an id, whether an agent has it now or not.
func TestASilenceMayBeginBeforeTheAgentIsThere(t *testing.T) {
	table := NewTable(allVerdicts)
	table.SetSilenced([]Silenced{{ID: 1, On: true}, {ID: 2, On: true}, {ID: 2, On: false}}, 1)
	members := []Member{{ID: 1, Name: "one", IP: "any"}, {ID: 2, Name: "two", IP: "any"}}
	for _, list := range [][]Member{members, nil, members} {
		table.SetMembers(list, 2)
		for _, m := range list {
			if r, _ := table.Agent(m.ID); r.Silenced != (m.ID == 1) {
				t.Errorf("%v is silenced: %v", m.ID, r.Silenced)
			}
		}
	}
}
