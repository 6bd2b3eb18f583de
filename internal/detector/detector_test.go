package detector

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// startDetector starts a detector in a synctest bubble and returns it with its clock and
// a function that returns its decisions so far.
func startDetector(t *testing.T, set Settings) (d *Detector, clock *Clock, said func() []Decision) {
	var mu sync.Mutex
	var all []Decision
	clock = NewClock()
	d = New(set, clock, func(out []Decision) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, out...)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return d, clock, func() []Decision {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return append([]Decision(nil), all...)
	}
}

func TestDecisionsComeWithinASweepOfTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, clock, said := startDetector(t, defaults)
		d.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}})
		time.Sleep(33 * time.Millisecond)
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawStartup})
		if got := changesIn(said()); len(got) != 1 || got[0].To != Pending {
			t.Fatalf("after a startup: %+v, want pending at once", got)
		}
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawKeepAlive})
		time.Sleep(SweepPeriod)
		if got := changesIn(said()); len(got) != 2 || got[1].To != Active || got[1].Reason != Connected {
			t.Fatalf("after a keep-alive: %+v, want active", got)
		}
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawClosed})
		time.Sleep(defaults.ReconnectGrace - time.Nanosecond)
		if got := changesIn(said()); len(got) != 2 {
			t.Fatalf("within the grace: %+v", got[2:])
		}
		time.Sleep(SweepPeriod)
		if got := changesIn(said()); len(got) != 3 || got[2].Reason != ConnectionLost {
			t.Fatalf("a sweep after the grace: %+v, want connection_lost", got)
		}
	})
}

func TestDecisionsCarryTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, clock, said := startDetector(t, defaults)
		d.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}})
		connected := time.Now()
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawKeepAlive})
		d.Report(Sighting{At: clock.Now(), ID: 7, Kind: SawClosed})
		time.Sleep(defaults.ReconnectGrace + SweepPeriod)
		got := changesIn(said())
		if len(got) != 2 {
			t.Fatalf("%d changes, want the agent connected and lost", len(got))
		}
		if lost := &got[1]; !lost.Time.Equal(connected.Add(defaults.ReconnectGrace)) || !lost.LastSeenTime.Equal(connected) {
			t.Errorf("lost at %v, last seen at %v; want the grace after %v, and that", lost.Time, lost.LastSeenTime, connected)
		}
	})
}

func TestManyReportersAndReadersShareADetector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents, reporters = 5000, 8
		d, clock, said := startDetector(t, defaults)
		var members []Member
		for id := AgentID(1); id <= agents; id++ {
			members = append(members, Member{ID: id, Name: id.String(), IP: "any"})
		}
		d.SetMembers(members)
		var wg sync.WaitGroup
		for r := range reporters {
			wg.Go(func() {
				for range 10 {
					for id := AgentID(1 + r); id <= agents; id += reporters {
						d.Report(Sighting{At: clock.Now(), ID: id, Kind: SawKeepAlive})
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(SweepPeriod)
		if n := len(changesIn(said())); n != agents {
			t.Errorf("%d changes, want one for each of %d agents", n, agents)
		}
		var all []Record
		for n, more := 0, true; more; n++ {
			var page []Record
			page, more = d.Page(n)
			all = append(all, page...)
		}
		if len(all) != agents || all[agents-1].ID != agents || all[0].Status != Active || !all[0].Seen {
			t.Errorf("%d records, the last %+v", len(all), all[len(all)-1])
		}
	})
}

func TestCallsOfAnEndedDetectorReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(defaults, NewClock(), func([]Decision) {})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.Run(ctx)
		for range 2 * inboxLimit {
			d.Report(Sighting{ID: 1})
		}
		d.SetMembers(nil)
		if page, more := d.Page(0); len(page) != 0 || more {
			t.Errorf("a page of an ended detector: %v, %v", page, more)
		}
	})
}
