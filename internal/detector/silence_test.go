package detector

import (
	"slices"
	"testing"
	"time"
)

// narrowLink sends keep-alives through a manager: with a limit of outstanding ones, and
// a timeout of a minute. The agents' own keep-alives are read every two seconds, with
// times in whole seconds.
type narrowLink struct {
	table  *Table
	now    Instant
	places int
	hung   func(id AgentID) bool
	read   func() bool // whether the manager's database is up to date

	agents  int
	waiting []*Decision           // Sends
	asked   map[AgentID]*Decision // by agent: a Send that is out, or waits
	busy    []Instant             // when a place is free again
	said    []Decision
}

func newNarrowLink(agents, places int) *narrowLink {
	l := &narrowLink{agents: agents, places: places, asked: map[AgentID]*Decision{}, hung: func(AgentID) bool { return false }, read: func() bool { return true }}
	l.table, l.now = newFleet(agents, allFeatures)
	l.runFor(3 * time.Minute)
	l.said = nil
	return l
}

// runFor simulates a time.
func (l *narrowLink) runFor(d time.Duration) {
	for end := l.now.Add(d); l.now < end; {
		l.now = l.now.Add(SweepPeriod)
		second := Instant(time.Second)
		if l.now%(2*second) < Instant(SweepPeriod) && l.read() {
			l.readAgents()
		}
		if l.now%second < Instant(SweepPeriod) {
			l.reportWaiting()
		}
		l.table.Sweep(l.now)
		for _, d := range slices.Clone(l.table.TakeDecisions()) {
			switch {
			case d.Verdict == Send:
				l.queueKeepAlive(d)
			case !d.Verdict.IsRoutine():
				l.said = append(l.said, d)
			}
		}
		l.sendQueued()
	}
}

// readAgents reports the keep-alives that agents send every ten seconds.
func (l *narrowLink) readAgents() {
	second := int64(l.now) / int64(time.Second)
	var seen []Sighting
	for id := AgentID(1); int(id) <= l.agents; id++ {
		for at := second - 1; at <= second; at++ {
			if (at+int64(id))%10 == 0 && !l.hung(id) {
				seen = append(seen, Sighting{At: Instant(at) * Instant(time.Second), ID: id, Kind: SawKeepAlive})
			}
		}
	}
	if len(seen) > 0 {
		l.table.Apply(seen)
	}
}

func (l *narrowLink) queueKeepAlive(d Decision) {
	if out := l.asked[d.ID]; out != nil {
		out.Token = d.Token
		return
	}
	l.asked[d.ID] = &d
	l.waiting = append(l.waiting, &d)
}

// sendQueued sends waiting keep-alives while the limit allows.
func (l *narrowLink) sendQueued() {
	l.busy = slices.DeleteFunc(l.busy, func(until Instant) bool { return until <= l.now })
	for len(l.waiting) > 0 && len(l.busy) < l.places {
		d := l.waiting[0]
		l.waiting = l.waiting[1:]
		if l.hung(d.ID) {
			l.busy = append(l.busy, l.now.Add(time.Minute))
			continue
		}
		delete(l.asked, d.ID)
		l.table.Apply([]Sighting{{At: l.now, ID: d.ID, Kind: SawAnswer, Token: d.Token}})
	}
}

func (l *narrowLink) reportWaiting() {
	var late []Sighting
	for _, d := range l.waiting {
		late = append(late, Sighting{At: l.now, ID: d.ID, Kind: Unsent, Token: d.Token})
	}
	if len(late) > 0 {
		l.table.Apply(late)
	}
}

func TestAFleetThatFallsSilentBesideAManagerIsAnOutageBeforeAllAreAsked(t *testing.T) {
	for _, tt := range []struct {
		name         string
		agents, hung int
		places       int
	}{
		{"all of 2000", 2000, 2000, 64},
		{"2000 of 6000", 6000, 2000, 64},
		{"1000, and a link of eight places", 1000, 1000, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newNarrowLink(tt.agents, tt.places)
			l.hung = func(id AgentID) bool { return int(id) <= tt.hung }
			began := l.now
			l.runFor(60 * time.Second)
			lost, outage := 0, time.Duration(0)
			for _, d := range l.said {
				switch {
				case d.Verdict == OutageBegan && outage == 0:
					outage = d.At.Sub(began)
				case d.Verdict == Changed && (d.To != Disconnected || int(d.ID) > tt.hung || !d.Reason.isSilence() || d.Missed != 3):
					t.Fatalf("decided %+v", d)
				case d.Verdict == Changed:
					lost++
				}
			}
			last := l.said[len(l.said)-1].At.Sub(began)
			t.Logf("outage after %v, the last of %d losses after %v", outage, lost, last)
			if outage == 0 || outage > 40*time.Second || lost != tt.hung {
				t.Errorf("outage after %v, %d lost; want one within 40 s, and %d", outage, lost, tt.hung)
			}
		})
	}
}

func TestAStalledManagerDatabaseLosesNoAgentThatAnswers(t *testing.T) {
	l := newNarrowLink(2000, 64)
	l.hung = func(id AgentID) bool { return id <= 40 }
	l.runFor(10 * time.Second) // these are being suspected
	l.read = func() bool { return false }
	l.runFor(3 * time.Minute)
	for _, d := range l.said {
		if d.Verdict != Changed || d.ID > 40 {
			t.Errorf("decided %+v", d)
		}
	}
}

func TestAFewThatHangAreNoReasonToLoseOthersUnasked(t *testing.T) {
	l := newNarrowLink(2000, 8)
	l.hung = func(id AgentID) bool { return id <= 100 } // far from an outage
	l.runFor(60 * time.Second)
	for _, d := range l.said {
		if d.Reason == KeepAliveTimeout {
			t.Fatalf("decided %+v", d)
		}
	}
}

func TestOneAgentThatIsLateAndBackAgainAndAgainHidesNoSilentFleet(t *testing.T) {
	l := newNarrowLink(1000, 8)
	l.hung = func(id AgentID) bool { return id > 1 }
	began, times := l.now, 0
	for l.now.Sub(began) < 60*time.Second {
		for range 100 { // short gaps, and then a long one
			l.table.Apply([]Sighting{{At: l.now, ID: 1, Kind: SawKeepAlive}})
		}
		l.said = append(l.said, l.table.TakeDecisions()...)
		l.runFor(3500 * time.Millisecond)
		if slot, _ := l.table.slots.findAgentSlot(1); l.table.state[slot].has(suspected) {
			times++
		}
	}
	if times < 4 {
		t.Fatalf("it was suspected %d times", times)
	}
	lost := 0
	for _, d := range l.said {
		if d.To == Disconnected && d.Verdict == Changed && d.At.Sub(began) < 40*time.Second {
			lost++
		}
	}
	if lost != 999 {
		t.Errorf("%d of 999 agents that hang were lost within 40 s", lost)
	}
}
