package agentsim

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test with one agent, connected through memory, on fake time.
func bubble(t *testing.T, work func(t *testing.T, m *manager, f *Fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, 1)
		m.patience = time.Hour // costs nothing
		f := newFleet(t, m.config())
		m.pipe(f)
		t.Cleanup(m.stop)
		start(t, f)
		work(t, m, f)
	})
}

// nothing fails the test if the agent sends anything within d.
func (m *manager) nothing(id string, d time.Duration) {
	m.t.Helper()
	select {
	case h := <-m.mail[id]:
		m.t.Fatalf("agent %s said %q, want nothing", id, h.text)
	case <-time.After(d):
	}
}

func TestShutdownIsAnnounced(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	m.await("001", saysStarted)
	must(t, f.Fail("001", Shutdown))
	for _, want := range []string{saysShutdown, closed} {
		if got := m.next("001").text; got != want {
			t.Errorf("agent says %q, want %q", got, want)
		}
	}
	must(t, f.Revive("001"))
	m.await("001", saysStartup)
	m.await("001", saysStarted)
}

func TestAKilledAgentSaysNothing(t *testing.T) {
	for _, how := range []Failure{Kill, PowerOff} {
		t.Run(how.String(), func(t *testing.T) { checkSilentEnd(t, how) })
	}
}

func checkSilentEnd(t *testing.T, how Failure) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	m.await("001", saysStarted)
	must(t, f.Fail("001", how))
	if got := m.next("001").text; got != closed {
		t.Errorf("agent says %q, want its connection closed", got)
	}
	must(t, f.Fail("001", Shutdown)) // too late for a shutdown message
	must(t, f.Revive("001"))
	m.await("001", saysStarted)
}

func TestAHostAnswersWhileItHasPowerAndItsNetwork(t *testing.T) {
	f, err := New(Config{Manager: "127.0.0.1:1514", Keys: testKeys(t, 2), Spread: true})
	must(t, err)
	host := netip.MustParseAddr("127.1.0.1")
	for _, tt := range []struct {
		how  Failure
		want bool
	}{{Kill, true}, {Shutdown, true}, {Hang, true}, {Cut, false}, {PowerOff, false}} {
		must(t, f.Fail("001", tt.how))
		if answers, known := f.HostAnswers(host); answers != tt.want || !known {
			t.Errorf("%v: answers %v, known %v", tt.how, answers, known)
		}
		if answers, _ := f.HostAnswers(netip.MustParseAddr("127.1.0.2")); !answers {
			t.Errorf("%v: the other host does not answer", tt.how)
		}
		must(t, f.Revive("001"))
		if answers, _ := f.HostAnswers(host); !answers {
			t.Errorf("%v: it does not answer afterwards", tt.how)
		}
	}
	must(t, f.Fail("001", Kill))
	must(t, f.Fail("001", PowerOff))
	if answers, _ := f.HostAnswers(host); answers {
		t.Error("a host without power whose agent had ended before answers")
	}
	if _, known := f.HostAnswers(netip.MustParseAddr("127.0.0.1")); known {
		t.Error("a host of nobody is known")
	}
}

func TestAHungAgentAnswersLateOverASocket(t *testing.T) {
	m := newManager(t, 1)
	cfg := m.config()
	cfg.Manager = m.listen()
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	must(t, f.Fail("001", Hang))
	l.send("#!-req 7 agent getstate")
	if s := f.Stats(); s.Hung != 1 || s.Connected != 1 {
		t.Errorf("hung %d, connected %d", s.Hung, s.Connected)
	}
	must(t, f.Revive("001"))
	if h := m.next("001"); h.from != l {
		t.Errorf("answer %q over another connection", h.text)
	}
}

func TestAHungAgentIsSilentUntilItGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		l := m.await("001", saysStarted).from
		must(t, f.Fail("001", Hang))
		asked := make(chan bool)
		go func() { l.send("#!-req 7 agent getstate"); close(asked) }()
		m.nothing("001", time.Hour)
		must(t, f.Revive("001"))
		<-asked
		// It received the request before it checked the time, so it does not think
		// that its manager was silent for an hour, and its keep-alive is overdue.
		for _, want := range []string{"#!-req 7 {", saysKeepAlive} {
			if h := m.next("001"); h.text[:len(want)] != want || h.from != l {
				t.Errorf("agent says %q, want %q", h.text, want)
			}
		}
	})
}

func TestAKilledAgentThatHungCloses(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		m.await("001", saysStarted)
		must(t, f.Fail("001", Hang))
		m.nothing("001", time.Hour)
		must(t, f.Fail("001", Kill))
		if got := m.next("001").text; got != closed {
			t.Errorf("agent says %q, want its connection closed", got)
		}
	})
}

func TestAShortCutDelaysWhatTheAgentSaid(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		l := m.await("001", saysStarted).from
		f.CutAll()
		m.nothing("001", 35*time.Second)
		f.HealAll()
		for range 3 { // the keep-alives of 10, 20 and 30 seconds, on the same connection
			if h := m.next("001"); h.text != firstKeepAlive || h.from != l {
				t.Errorf("agent says %q over %p, want a keep-alive over %p", h.text, h.from, l)
			}
		}
		m.nothing("001", 4*time.Second)
	})
}

func TestALongCutLeavesASilentConnectionBehind(t *testing.T) {
	bubble(t, func(t *testing.T, m *manager, f *Fleet) {
		first := m.await("001", saysStarted).from
		must(t, f.Fail("001", Cut))
		m.nothing("001", 10*time.Minute)
		s := f.Stats()
		if s.Silent != 1 || s.Refused < 50 || s.Dialling != 1 || s.Cut != 1 {
			t.Errorf("while cut: %+v", s)
		}
		must(t, f.Revive("001"))
		if h := m.next("001"); h.text != closed || h.from != first {
			t.Errorf("agent says %q, want its old connection closed", h.text)
		}
		if h := m.next("001"); h.text != saysStartup {
			t.Errorf("agent says %q, want a startup", h.text)
		}
		// The process went on, so it does not report a start, and its keep-alive is overdue.
		if h := m.next("001"); h.text != firstKeepAlive {
			t.Errorf("agent says %q, want a keep-alive", h.text)
		}
	})
}

func TestADeathBehindACutIsSeenWhenTheNetworkHeals(t *testing.T) {
	for _, how := range []Failure{Kill, Shutdown} {
		t.Run(how.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, m *manager, f *Fleet) {
				m.await("001", saysStarted)
				f.CutAll()
				must(t, f.Fail("001", how))
				m.nothing("001", time.Hour)
				f.HealAll()
				if got := m.next("001").text; got != closed {
					t.Errorf("agent says %q, want its connection closed", got)
				}
				m.nothing("001", time.Hour)
			})
		})
	}
}

func TestDatagramsAreLostInACut(t *testing.T) {
	m := newManager(t, 1)
	addr := m.listenUDP()
	cfg := m.config()
	cfg.Manager, cfg.Notify = addr, time.Hour
	f := newFleet(t, cfg)
	start(t, f)
	l := m.await("001", saysStarted).from
	must(t, f.Fail("001", Cut))
	l.send("#!-req 1 agent getstate")
	must(t, f.Revive("001"))
	for { // a datagram right after the healing may still be lost
		l.send("#!-req 2 agent getstate")
		select {
		case h := <-m.mail["001"]:
			if h.text != "#!-req 2 ack" {
				t.Errorf("agent says %q, want the second request confirmed", h.text)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestAnUnknownAgentCannotDie(t *testing.T) {
	f := newFleet(t, newManager(t, 1).config())
	if err := f.Fail("002", Kill); !errors.Is(err, ErrUnknownAgent) {
		t.Errorf("die: %v", err)
	}
	if err := f.Revive("002"); !errors.Is(err, ErrUnknownAgent) {
		t.Errorf("revive: %v", err)
	}
	if err := f.Fail("001", 0); err == nil {
		t.Error("no error for no death")
	}
}

func TestAgentsStartOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, 4)
		m.patience = time.Hour // costs nothing
		cfg := m.config()
		cfg.Ramp = 4 * time.Second
		f := newFleet(t, cfg)
		m.pipe(f)
		t.Cleanup(m.stop)
		began := time.Now()
		start(t, f)
		for i := range 4 {
			m.await(agentID(i), saysStartup)
			if took := time.Since(began); took != time.Duration(i)*time.Second {
				t.Errorf("agent %d started after %v", i, took)
			}
		}
	})
}

func TestDeathsHaveNames(t *testing.T) {
	for _, want := range []Failure{Shutdown, Kill, Hang, Cut, PowerOff} {
		if got, err := ParseFailure(want.String()); err != nil || got != want {
			t.Errorf("ParseFailure(%q) = %v, %v", want, got, err)
		}
	}
	if _, err := ParseFailure("boredom"); err == nil {
		t.Error("no error for an unknown death")
	}
}
