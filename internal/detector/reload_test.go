package detector

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shortSettings returns settings by which no agent probed by the others answers in time.
func shortSettings() Settings {
	set := allFeatures
	set.Group = Group{Interval: 5 * time.Second, Timeout: 20 * time.Second, MaxMissed: 2}
	set.RetryInterval, set.SuspectTimeout, set.ReconnectGrace = 3*time.Second, time.Second, time.Second
	return set
}

// sweepAnswering sweeps for a time in which all agents but one answer, and returns what was
// decided, and when it is over.
func sweepAnswering(t *Table, now Instant, d time.Duration, silent AgentID) (decided []Decision, end Instant) {
	for end = now.Add(d); now < end; now = now.Add(SweepPeriod) {
		t.Sweep(now)
		for _, d := range slices.Clone(t.TakeDecisions()) {
			decided = append(decided, d)
			if d.Verdict == Send && d.ID != silent {
				t.Apply([]Sighting{{At: now, ID: d.ID, Kind: SawAnswer, Token: d.Token}})
			}
		}
	}
	return decided, end
}

func countDecisions(decided []Decision, fits func(*Decision) bool) (n int) {
	for i := range decided {
		if fits(&decided[i]) {
			n++
		}
	}
	return n
}

func TestOtherSettingsTakeEffectAndDecideNothing(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after Settings
		asks          int // of 100 agents in a minute
	}{
		{"everything becomes quicker", allFeatures, shortSettings(), 1200},
		{"everything becomes slower", shortSettings(), allFeatures, 100},
		{"keep-alives are switched off", allFeatures, func() Settings { s := allFeatures; s.Interval, s.Timeout = 0, time.Hour; return s }(), 0},
		{"and on again", func() Settings { s := allFeatures; s.Interval, s.Timeout = 0, time.Hour; return s }(), shortSettings(), 1200},
		{"nothing changes", allFeatures, allFeatures, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newFleet(100, tt.before)
			_, now = sweepAnswering(table, now, 95*time.Second, 0)
			table.TakeDecisions() // answers
			table.SetSettings(tt.after, now)
			if out := table.TakeDecisions(); len(out) > 0 {
				t.Errorf("decided at once: %+v", out)
			}
			decided, now := sweepAnswering(table, now, time.Minute, 0)
			more, _ := sweepAnswering(table, now, 2*time.Minute, 0)
			if n := countDecisions(append(decided, more...), func(d *Decision) bool { return !d.Verdict.IsRoutine() }); n > 0 {
				t.Errorf("%d decisions about agents that all answer", n)
			}
			if n := countDecisions(decided, func(d *Decision) bool { return d.Verdict == Send }); n < tt.asks*9/10 || n > tt.asks*11/10+1 {
				t.Errorf("%d keep-alives in a minute, want %d", n, tt.asks)
			}
		})
	}
}

// A shorter timeout, and a shorter time to answer, start with the new settings.
func TestAShorterTimeoutStartsAnew(t *testing.T) {
	noAsking := allFeatures
	noAsking.Interval, noAsking.Timeout = 0, time.Hour
	table, now := newFleet(100, noAsking)
	_, now = sweepAnswering(table, now, 30*time.Minute, 0)
	reloaded := now
	table.SetSettings(shortSettings(), now)
	decided, _ := sweepAnswering(table, now, time.Minute, 7)
	lost := slices.DeleteFunc(decided, func(d Decision) bool { return d.Verdict != Changed })
	if len(lost) != 1 || lost[0].ID != 7 || lost[0].At < reloaded.Add(2*time.Second) || lost[0].At > reloaded.Add(21*time.Second) {
		t.Errorf("lost at %v: %+v", reloaded, lost)
	}
}

func TestAgentsFollowTheirNewGroups(t *testing.T) {
	odd := func(id AgentID, _ string, _ netip.Addr, _ Info) int { return int(id) % 2 }
	before := allFeatures
	before.Groups, before.GroupOf = []Group{{Interval: time.Minute, Timeout: time.Hour, MaxMissed: 9}, {Interval: time.Minute, Timeout: time.Hour, MaxMissed: 9}},
		func(AgentID, string, netip.Addr, Info) int { return 2 }
	after := allFeatures
	after.Groups, after.GroupOf = []Group{{Interval: 10 * time.Second, Timeout: time.Minute, MaxMissed: 3}}, odd
	table, now := newFleet(100, before)
	_, now = sweepAnswering(table, now, 70*time.Second, 0)
	table.SetSettings(after, now)
	decided, now := sweepAnswering(table, now, time.Minute, 0)
	for group, want := range []int{50, 300} {
		if n := countDecisions(decided, func(d *Decision) bool { return d.Verdict == Send && d.Group == group }); n < want*9/10 || n > want*11/10 {
			t.Errorf("%d keep-alives in group %d, want %d", n, group, want)
		}
	}
	after.Groups, after.GroupOf = nil, nil
	table.SetSettings(after, now)
	if decided, _ = sweepAnswering(table, now, time.Minute, 0); countDecisions(decided, func(d *Decision) bool { return d.Group != 0 }) > 0 {
		t.Error("an agent is in a group that is gone")
	}
}

// Decisions by the old settings are delivered before the new ones apply.
func TestDecisionsBeforeNewSettingsAreDeliveredFirst(t *testing.T) {
	var reloaded atomic.Bool
	var wrong atomic.Int32
	set := allFeatures
	set.Groups, set.GroupOf = []Group{set.Group}, func(AgentID, string, netip.Addr, Info) int { return 1 }
	d := New(set, NewClock(), func(out []Decision) {
		for i := range out {
			if (out[i].Group == 0) != reloaded.Load() {
				wrong.Add(1)
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	d.SetMembers([]Member{{ID: 1, Name: "a", IP: "any"}})
	for range 100 {
		d.Report(Sighting{At: d.clock.Now(), ID: 1, Kind: SawStartup})
		d.Report(Sighting{At: d.clock.Now(), ID: 1, Kind: SawKeepAlive})
		d.Report(Sighting{At: d.clock.Now(), ID: 1, Kind: SawShutdown})
		next := set
		if !reloaded.Load() {
			next.Groups, next.GroupOf = nil, nil
		}
		d.SetSettings(next, func() { reloaded.Store(!reloaded.Load()) })
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d decisions are of a group of other settings", n)
	}
}
