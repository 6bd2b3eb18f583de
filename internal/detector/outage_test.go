package detector

import (
	"testing"
	"time"
)

func TestOutages(t *testing.T) {
	const minute, s = time.Minute, time.Second
	for _, tt := range []struct {
		name  string
		story []storyEvent
		want  []string
	}{
		{"29 of 100 are no outage",
			[]storyEvent{{minute, 1, 29, crash}},
			[]string{"1m2s: 29 × disconnected by connection_lost"}},
		{"while more are in trouble, alerts wait an interval for an outage to come",
			[]storyEvent{{minute, 1, 25, crash}, {minute + s, 26, 35, crash}, {minute + 2500*time.Millisecond, 26, 35, back}},
			[]string{
				"1m2s: 25 × disconnected by connection_lost, alert held",
				"1m3s: 10 × active by reconnected",
				"2m2s: 25 × alert of connection_lost",
			}},
		{"30 of 100 are one, and most come back: the stragglers' alerts come after the hold",
			[]storyEvent{{minute, 1, 30, crash}, {2 * minute, 1, 20, back}},
			[]string{
				"1m2s: 30 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 30 of 100 lost, 30 closed, 0 silent, 0 back, 1 networks",
				"2m0s: 20 × active by reconnected",
				"2m0s: outage over: 30 of 100 lost, 30 closed, 0 silent, 20 back, 1 networks",
				"3m0s: 10 × alert of connection_lost, part of an outage",
			}},
		{"an alert that was reported before the outage is not repeated after it",
			[]storyEvent{{minute, 1, 1, crash}, {minute + 20*s, 2, 40, crash}, {2 * minute, 3, 40, back}},
			[]string{
				"1m2s: 1 × disconnected by connection_lost",
				"1m22s: 39 × disconnected by connection_lost, part of an outage, alert held",
				"1m22s: outage: 40 of 100 lost, 40 closed, 0 silent, 0 back, 1 networks",
				"2m0s: 38 × active by reconnected",
				"2m0s: outage over: 40 of 100 lost, 40 closed, 0 silent, 38 back, 1 networks",
				"3m0s: 1 × alert of connection_lost, part of an outage",
			}},
		{"it is not over while half are away",
			[]storyEvent{{minute, 1, 40, crash}, {2 * minute, 1, 20, back}, {8 * minute, 21, 21, back}},
			[]string{
				"1m2s: 40 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 40 of 100 lost, 40 closed, 0 silent, 0 back, 1 networks",
				"2m0s: 20 × active by reconnected",
				"8m0s: 1 × active by reconnected",
				"8m0s: outage over: 40 of 100 lost, 40 closed, 0 silent, 21 back, 1 networks",
				"9m0s: 19 × alert of connection_lost, part of an outage",
			}},
		{"who comes back within the hold has no alert",
			[]storyEvent{{minute, 1, 30, crash}, {2 * minute, 1, 20, back}, {2*minute + 59*s, 21, 29, back}},
			[]string{
				"1m2s: 30 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 30 of 100 lost, 30 closed, 0 silent, 0 back, 1 networks",
				"2m0s: 20 × active by reconnected",
				"2m0s: outage over: 30 of 100 lost, 30 closed, 0 silent, 20 back, 1 networks",
				"2m59s: 9 × active by reconnected",
				"3m0s: 1 × alert of connection_lost, part of an outage",
			}},
		{"it spreads while many are lost",
			[]storyEvent{{minute, 1, 30, crash}, {minute + 50*s, 31, 60, crash}, {5 * minute, 1, 60, back}},
			[]string{
				"1m2s: 30 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 30 of 100 lost, 30 closed, 0 silent, 0 back, 1 networks",
				"1m52s: 30 × disconnected by connection_lost, part of an outage, alert held",
				"5m0s: 60 × active by reconnected",
				"5m0s: outage over: 60 of 100 lost, 60 closed, 0 silent, 60 back, 0 networks",
			}},
		{"who is lost meanwhile, alone, has an alert at once",
			[]storyEvent{{minute, 1, 30, crash}, {5 * minute, 50, 50, crash}, {7 * minute, 1, 30, back}},
			[]string{
				"1m2s: 30 × disconnected by connection_lost, part of an outage, alert held",
				"1m2s: outage: 30 of 100 lost, 30 closed, 0 silent, 0 back, 1 networks",
				"5m2s: 1 × disconnected by connection_lost",
				"7m0s: 30 × active by reconnected",
				"7m0s: outage over: 30 of 100 lost, 30 closed, 0 silent, 30 back, 0 networks",
			}},
		{"agents that say goodbye are none",
			[]storyEvent{{minute, 1, 100, stop}},
			[]string{"1m0s: 100 × disconnected by agent_shutdown"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newHundredAgents()
			checkStory(t, runStory(table, now, tt.story, 12*minute), tt.want)
		})
	}
}

func TestASmallFleetHasNoOutage(t *testing.T) {
	table, now := newFleet(minOutage-1, allFeatures)
	got := runStory(table, now, []storyEvent{{0, 1, minOutage - 1, crash}}, 5*time.Minute)
	checkStory(t, got, []string{"2s: 19 × disconnected by connection_lost"})
}

// Instants of links may be coarse: an agent may be lost, be back and shut down in the same one.
func TestAShutdownInTheInstantOfALossIsNoLossOfTheOutage(t *testing.T) {
	set := allFeatures
	set.ReconnectGrace, set.FlapThreshold = 0, 0
	table, now := newSteadyFleetWith(20, set)
	var seen []Sighting
	for id := AgentID(1); id <= 20; id++ {
		seen = append(seen, Sighting{At: now, ID: id, Kind: SawClosed})
	}
	table.Apply(seen)
	table.Apply([]Sighting{{At: now, ID: 1, Kind: SawStartup}, {At: now, ID: 1, Kind: SawShutdown}})
	table.TakeDecisions()
	seen = seen[:0]
	for id := AgentID(2); id <= 20; id++ {
		seen = append(seen, Sighting{At: now.Add(time.Second), ID: id, Kind: SawKeepAlive})
	}
	table.Apply(seen)
	for _, d := range table.TakeDecisions() {
		if d.Verdict == OutageEnded && (d.Fleet.Back != 20 || len(d.Fleet.Networks) > 0) {
			t.Errorf("all are back, or have shut down since; the report has %d back, and as still lost %v", d.Fleet.Back, d.Fleet.Networks)
		}
	}
	if table.outage.ongoing {
		t.Error("the outage goes on")
	}
}
