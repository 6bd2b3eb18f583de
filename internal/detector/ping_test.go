package detector

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAgentsThatCannotBeProbed(t *testing.T) {
	with := func(change func(*Settings)) Settings {
		set := defaults
		change(&set)
		return set
	}
	for _, c := range []struct {
		name string
		set  Settings
		seen []Kind
		id   AgentID
		want error
	}{
		{"one that is not in the inventory", defaults, nil, 8, ErrUnknownAgent},
		{"one that said goodbye", defaults, []Kind{SawShutdown}, 5, ErrNotConnected},
		{"one whose connection closed, within the grace", defaults, []Kind{SawClosed}, 5, ErrNotConnected},
		{"one that is back within the grace", defaults, []Kind{SawClosed, SawStartup}, 5, nil},
		{"one that is pending", defaults, []Kind{SawStartup}, 5, nil},
		{"any, without keep-alives", with(func(s *Settings) { s.Interval = 0 }), nil, 5, ErrNoKeepAlives},
		{"any, by notify", with(func(s *Settings) { s.Method = Notify }), nil, 5, ErrNoAnswers},
		{"any, by ack", with(func(s *Settings) { s.Method = Ack }), nil, 5, ErrNoAnswers},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, now := newFleet(7, c.set)
			for _, kind := range c.seen {
				table.Apply([]Sighting{{At: now, ID: c.id, Kind: kind}})
			}
			table.TakeDecisions()
			_, err := table.ProbeNow(c.id, now)
			if sent := len(table.TakeDecisions()) > 0; !errors.Is(err, c.want) || sent != (c.want == nil) {
				t.Errorf("%v, sent %v, want %v", err, sent, c.want)
			}
		})
	}
}

func TestNeverConnectedAndRestoredAgentsAreNotProbed(t *testing.T) {
	table := NewTable(defaults)
	table.Restore([]Restored{{Member: Member{ID: 1, Name: "web", IP: "any"}, Status: Active, Since: -5, LastSeen: -5}}, nil)
	table.SetMembers([]Member{{ID: 1, Name: "web", IP: "any"}, {ID: 2, Name: "db", IP: "any"}}, 1)
	for id := AgentID(1); id <= 2; id++ {
		if _, err := table.ProbeNow(id, 2); err != ErrNotConnected {
			t.Errorf("%v: %v", id, err)
		}
	}
}

// However many callers ping it, an agent gets one keep-alive, and one more a second later.
func TestManyPingsCostAnAgentOneKeepAliveASecond(t *testing.T) {
	table, now := newFleet(1, defaults)
	sends := 0
	for range 3000 { // every millisecond
		h, err := table.ProbeNow(1, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range table.TakeDecisions() {
			if d.Verdict == Send {
				sends++
				table.Apply([]Sighting{{At: now.Add(time.Microsecond), ID: 1, Kind: SawAnswer, Token: h.Token}})
			}
		}
		now = now.Add(time.Millisecond)
	}
	if sends != 3 {
		t.Errorf("%d keep-alives in 3 s, want 3", sends)
	}
}

func TestAnUnansweredProbeIsAMiss(t *testing.T) {
	table, now := newFleet(1, defaults)
	if _, err := table.ProbeNow(1, now); err != nil {
		t.Fatal(err)
	}
	table.TakeDecisions()
	_, said := sweepFor(table, now, defaults.RetryInterval+SweepPeriod, nil)
	if len(said) != 2 || said[0].Verdict != Failed || said[0].Missed != 1 || said[1].Verdict != Send {
		t.Errorf("decided %+v", said)
	}
}

// pingFixture is a detector with one active agent.
type pingFixture struct {
	*testing.T
	*Detector
	clock *Clock
	said  func() []Decision
}

func newPingFixture(t *testing.T) *pingFixture {
	d, clock, said := startDetector(t, defaults)
	d.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}})
	p := &pingFixture{t, d, clock, said}
	p.reportSighting(SawStartup, 0)
	p.reportSighting(SawKeepAlive, 0)
	time.Sleep(SweepPeriod)
	return p
}

func (p *pingFixture) reportSighting(kind Kind, token uint32) {
	p.Report(Sighting{At: p.clock.Now(), ID: 7, Kind: kind, Token: token})
}

type pingResult struct {
	Answer
	err error
}

// startPing pings in the background.
func (p *pingFixture) startPing(ctx context.Context) <-chan pingResult {
	c := make(chan pingResult, 1)
	go func() {
		answer, err := p.Ping(ctx, 7)
		c <- pingResult{answer, err}
	}()
	synctest.Wait()
	return c
}

func (p *pingFixture) lastSend() (d Decision) {
	for _, said := range p.said() {
		if said.Verdict == Send {
			d = said
		}
	}
	if d.Token == 0 {
		p.Fatal("no keep-alive was sent")
	}
	return d
}

func TestAPingIsAnsweredWithTheRoundTripToAllWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPingFixture(t)
		first := p.startPing(t.Context())
		sent := p.lastSend()
		time.Sleep(20 * time.Millisecond)
		second := p.startPing(t.Context())
		p.reportSighting(SawAnswer, sent.Token)
		for _, c := range []<-chan pingResult{first, second} {
			if got := <-c; got.err != nil || got.RTT != 20*time.Millisecond || got.SentAt != sent.At {
				t.Errorf("%+v, sent at %v", got, sent.At)
			}
		}
		if now := p.clock.Now(); now != sent.At.Add(20*time.Millisecond) {
			t.Errorf("the answer waited for a sweep, until %v", now)
		}
		if got := <-p.startPing(t.Context()); got.err != nil || got.RTT != 20*time.Millisecond || got.SentAt != sent.At {
			t.Errorf("asked again at once: %+v", got)
		}
		if n := len(p.waiters.byAgent); n > 0 {
			t.Errorf("%d agents waited for", n)
		}
	})
}

func TestWaitersGetAnErrorWhenTheAgentDoesNotAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		does func(p *pingFixture, cancel func())
		want error
	}{
		{"for an agent that hangs", func(*pingFixture, func()) {}, ErrUnanswered},
		{"for one that says goodbye", func(p *pingFixture, _ func()) { p.reportSighting(SawShutdown, 0) }, ErrNotConnected},
		{"for one whose connection closes", func(p *pingFixture, _ func()) { p.reportSighting(SawClosed, 0) }, ErrNotConnected},
		{"for one that is removed", func(p *pingFixture, _ func()) { p.SetMembers(nil) }, ErrNotConnected},
		{"for longer than it may", func(_ *pingFixture, cancel func()) { cancel() }, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPingFixture(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				waits := p.startPing(ctx)
				c.does(p, cancel)
				if got := <-waits; !errors.Is(got.err, c.want) {
					t.Errorf("%+v, want %v", got, c.want)
				}
				if n := len(p.waiters.byAgent); n > 0 {
					t.Errorf("%d agents waited for", n)
				}
			})
		})
	}
}

// An agent that connects anew loses the keep-alive; the next one answers.
func TestAPingOutlivesAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPingFixture(t)
		waits := p.startPing(t.Context())
		lost := p.lastSend()
		p.reportSighting(SawClosed, 0)
		p.reportSighting(SawStartup, 0)
		p.reportSighting(SawAnswer, lost.Token)
		time.Sleep(defaults.Interval + SweepPeriod)
		p.reportSighting(SawAnswer, p.lastSend().Token)
		if got := <-waits; got.err != nil || got.SentAt != p.lastSend().At {
			t.Errorf("%+v", got)
		}
	})
}

func TestWaitersReturnWhenTheDetectorEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(defaults, NewClock(), func([]Decision) {})
		ctx, cancel := context.WithCancel(t.Context())
		go d.Run(ctx)
		d.SetMembers([]Member{{ID: 7, Name: "web", IP: "any"}})
		p := &pingFixture{T: t, Detector: d, clock: d.clock}
		p.reportSighting(SawStartup, 0)
		waits := p.startPing(t.Context())
		cancel()
		if got := <-waits; got.err != ErrEnded {
			t.Errorf("%+v", got)
		}
		if got := <-p.startPing(t.Context()); got.err != ErrEnded {
			t.Errorf("after the end: %+v", got)
		}
	})
}
