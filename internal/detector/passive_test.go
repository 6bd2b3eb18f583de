package detector

import (
	"net/netip"
	"testing"
	"time"
)

// passiveFleet returns a table with a passive agent that has been seen once, at the instant
// returned.
func passiveFleet(t *testing.T, groups ...Group) (*Table, Instant) {
	t.Helper()
	set := defaults
	set.Groups, set.GroupOf = groups, nil
	if len(groups) > 0 {
		set.GroupOf = func(AgentID, string, netip.Addr, Info) int { return 1 }
	}
	table := NewTable(set)
	now := Instant(time.Hour)
	table.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}}, now)
	table.SetPassivePace(time.Minute, 80*time.Second, now)
	table.SetPassive(7, true, now)
	table.Apply([]Sighting{{At: now, ID: 7, Kind: SawKeepAlive}})
	table.TakeDecisions()
	return table, now
}

// lostAfter sweeps for some time and returns how long after an instant the agent was lost, 0
// if it was not. It fails if a keep-alive was sent.
func lostAfter(t *testing.T, table *Table, from Instant, d time.Duration) (after time.Duration) {
	t.Helper()
	for now := from; now < from.Add(d); now = now.Add(SweepPeriod) {
		table.Sweep(now)
		for _, got := range table.TakeDecisions() {
			switch {
			case got.Verdict == Send:
				t.Fatalf("a keep-alive after %v", got.At.Sub(from))
			case got.Verdict == Changed && got.To == Disconnected:
				if got.Reason != KeepAliveTimeout || got.Missed != defaults.MaxMissed {
					t.Fatalf("lost with the reason %v, and %d missed", got.Reason, got.Missed)
				}
				after = got.At.Sub(from)
			}
		}
	}
	return after
}

func TestAPassiveAgentIsSentNothingAndLostByItsSilence(t *testing.T) {
	table, now := passiveFleet(t)
	table.Apply([]Sighting{{At: now.Add(time.Second), ID: 7, Kind: SawClosed}}) // which means nothing
	if got := lostAfter(t, table, now, 5*time.Minute); got != 80*time.Second {
		t.Errorf("lost after %v", got)
	}
	if _, err := table.ProbeNow(7, now.Add(time.Minute)); err == nil {
		t.Error("it is asked")
	}
	table, now = passiveFleet(t, Group{Interval: time.Minute, Timeout: 10 * time.Minute, MaxMissed: 3})
	if got := lostAfter(t, table, now, 15*time.Minute); got != 10*time.Minute {
		t.Errorf("of a group with a longer timeout: lost after %v", got)
	}
}

func TestLossesOfPassiveAgentsAreHeld(t *testing.T) {
	table, now := passiveFleet(t)
	table.HoldPassive(now.Add(50*time.Second), 80*time.Second)
	if got := lostAfter(t, table, now, 5*time.Minute); got != 130*time.Second {
		t.Errorf("lost after %v", got)
	}
	table, now = passiveFleet(t)
	table.SetPassivePace(10*time.Second, 30*time.Second, now.Add(60*time.Second)) // it may have been silent for longer by then
	if got := lostAfter(t, table, now, 5*time.Minute); got != 90*time.Second {
		t.Errorf("with a shorter timeout since 60 s: lost after %v", got)
	}
	table, now = passiveFleet(t)
	table.SetPassivePace(2*time.Minute, 140*time.Second, now.Add(60*time.Second))
	if got := lostAfter(t, table, now, 5*time.Minute); got != 140*time.Second {
		t.Errorf("with a longer one: lost after %v", got)
	}
}

func TestOfPassiveAgentsOnlyGapsOfTheirKeepAlivesAreLearned(t *testing.T) {
	for name, c := range map[string]struct {
		gaps []time.Duration
		want time.Duration
	}{
		"regular":                  {[]time.Duration{60 * time.Second, 61 * time.Second, 60 * time.Second}, 80 * time.Second},
		"a startup that was short": {[]time.Duration{60 * time.Second, 3 * time.Second, 60 * time.Second, 60 * time.Second}, 80 * time.Second},
		"longer than the step":     {[]time.Duration{75 * time.Second, 75 * time.Second, 75 * time.Second}, 85 * time.Second},
		"twice the step":           {[]time.Duration{75 * time.Second, 120 * time.Second, 120 * time.Second, 120 * time.Second}, 155 * time.Second},
		"back after an hour":       {[]time.Duration{60 * time.Second, time.Hour, 60 * time.Second}, 80 * time.Second},
	} {
		table, now := passiveFleet(t)
		for _, gap := range c.gaps {
			lostAfter(t, table, now, gap)
			now = now.Add(gap)
			table.Apply([]Sighting{{At: now, ID: 7, Kind: SawKeepAlive}})
		}
		if got := lostAfter(t, table, now, 10*time.Minute); (got - c.want).Abs() > 10*time.Second {
			t.Errorf("%s: lost after %v, want about %v", name, got, c.want)
		}
	}
}

// New settings neither shorten a passive agent's time nor have it asked, and an agent that
// can be asked again is.
func TestAPassiveAgentStaysSoUntilItCanBeAsked(t *testing.T) {
	table, now := passiveFleet(t)
	set := defaults
	set.Interval, set.Timeout = 30*time.Second, 90*time.Second
	table.SetSettings(set, now.Add(time.Second))
	if got := lostAfter(t, table, now, 3*time.Minute); got != 80*time.Second {
		t.Errorf("lost after %v", got)
	}
	now = now.Add(3 * time.Minute)
	table.Apply([]Sighting{{At: now, ID: 7, Kind: SawKeepAlive}})
	table.SetPassive(7, false, now)
	sent := 0
	for at := now; at < now.Add(35*time.Second); at = at.Add(SweepPeriod) {
		table.Sweep(at)
		for _, got := range table.TakeDecisions() {
			if got.Verdict == Send {
				sent++
			}
		}
	}
	if sent == 0 {
		t.Error("it is not asked")
	}
}

// A gap that began before a new throttle is none of its own: else it lasted as long as the
// process does.
func TestAPassiveAgentIsLostByTheNewPaceAtOnce(t *testing.T) {
	table, now := passiveFleet(t)
	table.SetPassivePace(2*time.Minute, 140*time.Second, now.Add(30*time.Second))
	now = now.Add(time.Minute)
	table.Apply([]Sighting{{At: now, ID: 7, Kind: SawKeepAlive}})
	if got := lostAfter(t, table, now, 10*time.Minute); got != 140*time.Second {
		t.Errorf("lost after %v", got)
	}
}
