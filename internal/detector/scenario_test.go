package detector

import (
	"testing"
	"time"
)

var defaults = Settings{Group: Group{Interval: 60 * time.Second, Timeout: 180 * time.Second, MaxMissed: 3},
	RetryInterval: 30 * time.Second, ReconnectGrace: 2 * time.Second}

// newFleet returns a table of n agents that are all active since a moment ago.
func newFleet(n int, set Settings) (*Table, Instant) {
	t := NewTable(set)
	var members []Member
	for id := 1; id <= n; id++ {
		members = append(members, Member{ID: AgentID(id), Name: AgentID(id).String(), IP: "any"})
	}
	t.SetMembers(members, 0)
	for id := 1; id <= n; id++ {
		t.Apply([]Sighting{{At: 1, ID: AgentID(id), Kind: SawStartup}, {At: 1, ID: AgentID(id), Kind: SawKeepAlive}})
	}
	t.TakeDecisions()
	return t, 1
}

// sweepFor sweeps every SweepPeriod for a while and returns what was decided.
func sweepFor(t *Table, now Instant, d time.Duration, each func(now Instant)) (Instant, []Decision) {
	var said []Decision
	for end := now.Add(d); now < end; {
		now = now.Add(SweepPeriod)
		if each != nil {
			each(now)
		}
		t.Sweep(now)
		said = append(said, t.TakeDecisions()...)
	}
	return now, said
}

func changesIn(said []Decision) (out []Decision) {
	for _, d := range said {
		if d.Verdict == Changed {
			out = append(out, d)
		}
	}
	return out
}

func TestDeaths(t *testing.T) {
	with := func(change func(*Settings)) Settings {
		set := defaults
		change(&set)
		return set
	}
	tests := []struct {
		name   string
		set    Settings
		deed   Kind // what is seen last; SawEvent: only silence
		reason Reason
		missed int
		lo, hi time.Duration // decided this long after
	}{
		{"a hung agent is given up after its third unanswered keep-alive", defaults, SawEvent, MissedKeepAlives, 3, 90 * time.Second, 150 * time.Second},
		{"silence is a timeout where keep-alives have no answer", with(func(s *Settings) { s.Method = Notify }), SawEvent, KeepAliveTimeout, 2, 180 * time.Second, 180 * time.Second},
		{"the timeout comes first where it is shorter than the misses", with(func(s *Settings) { s.Timeout = 61 * time.Second }), SawEvent, KeepAliveTimeout, 1, 61 * time.Second, 61 * time.Second},
		{"intervals without any sign count where there are no answers", with(func(s *Settings) { s.Method, s.Timeout = Ack, time.Hour }), SawEvent, MissedKeepAlives, 3, 180 * time.Second, 240 * time.Second},
		{"a closed connection is lost after the grace", defaults, SawClosed, ConnectionLost, 0, 2 * time.Second, 2 * time.Second},
		{"a closed connection is lost at once without a grace", with(func(s *Settings) { s.ReconnectGrace = 0 }), SawClosed, ConnectionLost, 0, 0, 0},
		{"a shutdown is known at once", defaults, SawShutdown, AgentShutdown, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newFleet(7, tt.set)
			died := now.Add(10 * time.Second)
			table.Apply([]Sighting{{At: died, ID: 5, Kind: tt.deed}})
			alive := func(now Instant) {
				for _, id := range []AgentID{1, 2, 3, 4, 6, 7} {
					table.Apply([]Sighting{{At: now, ID: id, Kind: SawEvent}})
				}
			}
			_, said := sweepFor(table, died, 5*time.Minute, alive)
			got := changesIn(said)
			if len(got) != 1 {
				t.Fatalf("changes %+v, want one", got)
			}
			if d := got[0]; d.ID != 5 || d.From != Active || d.To != Disconnected || d.Reason != tt.reason || d.Missed != tt.missed {
				t.Errorf("decided %+v, want 005 disconnected by %v with %d missed", d, tt.reason, tt.missed)
			}
			if after := got[0].At.Sub(died); after < tt.lo || after > tt.hi {
				t.Errorf("decided after %v, want %v to %v", after, tt.lo, tt.hi)
			}
		})
	}
}

func TestAnAgentThatIsBackWithinTheGraceWasNeverGone(t *testing.T) {
	table, now := newFleet(1, defaults)
	table.Apply([]Sighting{{At: now.Add(time.Second), ID: 1, Kind: SawClosed}})
	table.Apply([]Sighting{{At: now.Add(time.Second + 100*time.Millisecond), ID: 1, Kind: SawStartup}})
	_, said := sweepFor(table, now.Add(2*time.Second), 10*time.Second, nil)
	got := changesIn(said)
	if len(got) != 1 || got[0].To != Pending || got[0].Reason != Startup {
		t.Errorf("changes %+v, want pending only", got)
	}
}

func TestKeepAlivesAreSpreadEvenly(t *testing.T) {
	const agents = 6000
	table, now := newFleet(agents, defaults) // all connected in the same moment
	var perSecond [180]int
	for start := now; now < start.Add(180*time.Second); {
		now = now.Add(SweepPeriod)
		table.Sweep(now)
		for _, d := range append([]Decision(nil), table.TakeDecisions()...) {
			if d.Verdict == Send {
				perSecond[(d.At.Sub(start)-1)/time.Second]++
				table.Apply([]Sighting{{At: now, ID: d.ID, Kind: SawAnswer, Token: d.Token}})
			}
		}
	}
	for s, n := range perSecond {
		if n < 95 || n > 105 {
			t.Errorf("%d keep-alives in second %d, want 100 give or take 5", n, s)
		}
	}
}

func TestWaysToReconnect(t *testing.T) {
	tests := []struct {
		name string
		deed Kind // how it went; SawEvent: silence
		sign Kind
		want Status
		why  Reason
	}{
		{"any sign of life ends a silence", SawEvent, SawEvent, Active, Reconnected},
		{"a late answer ends a silence", SawEvent, SawAnswer, Active, Reconnected},
		{"a straggling event does not undo a shutdown", SawShutdown, SawEvent, Disconnected, AgentShutdown},
		{"a straggling event does not undo a lost connection", SawClosed, SawEvent, Disconnected, ConnectionLost},
		{"a startup after a shutdown is pending", SawShutdown, SawStartup, Pending, Startup},
		{"a keep-alive after a shutdown is active", SawShutdown, SawKeepAlive, Active, Reconnected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table, now := newFleet(1, defaults)
			if tt.deed != SawEvent {
				table.Apply([]Sighting{{At: now, ID: 1, Kind: tt.deed}})
			}
			now, _ = sweepFor(table, now, 200*time.Second, nil)
			table.Apply([]Sighting{{At: now, ID: 1, Kind: tt.sign}})
			page, _ := table.Page(nil, 0)
			if page[0].Status != tt.want || page[0].Reason != tt.why {
				t.Errorf("%v by %v, want %v by %v", page[0].Status, page[0].Reason, tt.want, tt.why)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	for _, s := range []string{"001", "010", "999", "1000", "99999999"} {
		if id, err := ParseID(s); err != nil || id.String() != s {
			t.Errorf("ParseID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "0", "1", "01", "000", "0001", "+01", "-01", " 01", "100000000", "4294967297", "0x1", "001 "} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v, want an error", s, id)
		}
	}
}
