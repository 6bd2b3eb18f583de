package attach

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// defaultSettings are those of an installation without any.
var defaultSettings = detector.Settings{Group: detector.Group{Interval: time.Minute, Timeout: 3 * time.Minute, MaxMissed: 3}, Method: detector.Request,
	RetryInterval: 15 * time.Second, SuspectTimeout: 5 * time.Second, ReconnectGrace: 2 * time.Second, OutageShare: 0.3, OutageHold: time.Minute}

// fakeManager is one of which only the time counts that it takes: it holds requests to agents
// that hang for a minute, and its database has a keep-alive of each other one every 10 s.
type fakeManager struct {
	prober *prober
	fleet  *detector.Detector
	clock  *detector.Clock
	agents int
	hung   atomic.Int64 // so many, from the first on

	stalled atomic.Bool // the database

	mu                     sync.Mutex
	inFlight, peakInFlight int
}

func (m *fakeManager) isAlive(id detector.AgentID) bool { return int64(id) > m.hung.Load() }

// RequestState does what remoted does with a request.
func (m *fakeManager) RequestState(ctx context.Context, id detector.AgentID, _ time.Duration, sent func()) (remoted.Outcome, error) {
	m.countHeld(1)
	defer m.countHeld(-1)
	sent()
	what, takes := remoted.Answered, 2*time.Millisecond
	if !m.isAlive(id) {
		what, takes = remoted.Silent, time.Minute
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
	}
	return what, nil
}

func (m *fakeManager) countHeld(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inFlight += n
	m.peakInFlight = max(m.peakInFlight, m.inFlight)
}

// reportKeepAlives reports who has sent a keep-alive within the last period.
func (m *fakeManager) reportKeepAlives(ctx context.Context) {
	tick := time.NewTicker(changesPeriod)
	defer tick.Stop()
	for second := int64(0); ; second += 2 {
		for id := detector.AgentID(1); int(id) <= m.agents; id++ {
			if late := (second + int64(id)) % 10; late < 2 && m.isAlive(id) && !m.stalled.Load() {
				age := time.Duration(late) * time.Second
				m.prober.recordSignOfLife(id, time.Now().Add(-age))
				m.fleet.Report(detector.Sighting{At: m.clock.Now().Add(-age), ID: id, Kind: detector.SawKeepAlive})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// runScript runs a detector and a prober with such a manager for as long as the script
// takes, which begins when the agents' arrivals are known. It returns the decisions.
func (m *fakeManager) runScript(t *testing.T, script func()) (said []detector.Decision) {
	m.clock = detector.NewClock()
	a := m.prober
	m.fleet = detector.New(defaultSettings, m.clock, func(out []detector.Decision) {
		for i := range out {
			switch d := &out[i]; {
			case d.Verdict == detector.Send:
				a.queueKeepAlive(d.ID, d.Token)
			case d.Verdict == detector.Changed && d.To == detector.Disconnected:
				a.cancelQueuedProbes(d.ID)
			}
		}
		said = append(said, out...)
	})
	a.client, a.fleet, a.clock, a.index = m, m.fleet, m.clock, indexNetworks(m.agents)
	members := make([]detector.Member, m.agents)
	for i := range members {
		members[i] = detector.Member{ID: detector.AgentID(i + 1), Name: fmt.Sprint("web-", i+1), IP: "any"}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, part := range []func(context.Context){m.fleet.Run, newTestTracker(a).runTracker, a.runProber, m.reportKeepAlives} {
		running.Go(func() { part(ctx) })
	}
	m.fleet.SetMembers(members)
	time.Sleep(2 * time.Minute)
	script()
	cancel()
	running.Wait()
	return said
}

// Two thousand agents that hang together are an outage within 40 s, and each is lost within a
// minute, though only a part of them can be asked meanwhile; who lives stays, and goes on
// being asked.
func TestAgentsThatHangTogetherAreKnownBeforeAllAreAsked(t *testing.T) {
	for _, c := range []struct{ agents, hung, places int }{{3000, 2000, 128}, {2000, 2000, 128}, {1000, 700, 16}} {
		t.Run(fmt.Sprintf("%d of %d", c.hung, c.agents), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &fakeManager{prober: newTestProber(c.places), agents: c.agents}
				var began detector.Instant
				said := m.runScript(t, func() {
					began = m.clock.Now()
					m.hung.Store(int64(c.hung))
					time.Sleep(time.Minute)
				})
				checkSilence(t, said, began, c.agents, c.hung)
				if m.peakInFlight > c.places {
					t.Errorf("%d requests at once", m.peakInFlight)
				}
			})
		})
	}
}

// While the database stands still, all agents are late; those that hang meanwhile, whole
// networks of them, keep no one else from being asked, and who answers is not lost.
func TestADatabaseThatStandsStillLosesNobodyWhoAnswers(t *testing.T) {
	for _, hung := range []int{40, 400} {
		t.Run(fmt.Sprint(hung, " hang"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &fakeManager{prober: newTestProber(128), agents: 2000}
				said := m.runScript(t, func() {
					m.hung.Store(int64(hung))
					m.stalled.Store(true)
					time.Sleep(2 * time.Minute)
				})
				for i := range said {
					if d := &said[i]; isLost(*d) && int(d.ID) > hung {
						t.Fatalf("one that lives: %+v", d)
					}
				}
			})
		})
	}
}

// checkSilence checks the decisions since some moment, at which the agents from the first
// on began to hang.
func checkSilence(t *testing.T, said []detector.Decision, began detector.Instant, agents, hung int) {
	t.Helper()
	var outage, last time.Duration
	gone, answers := 0, 0
	for i := range said {
		switch d := &said[i]; {
		case d.At < began:
		case d.Verdict == detector.OutageBegan && outage == 0:
			outage = d.At.Sub(began)
		case d.Verdict == detector.Changed && (int(d.ID) > hung || !isLost(*d)):
			t.Errorf("one that lives: %+v", d)
		case d.Verdict == detector.Changed:
			gone, last = gone+1, max(last, d.At.Sub(began))
		case d.Verdict == detector.Acknowledged && d.At > began.Add(15*time.Second):
			answers++
		}
	}
	t.Logf("an outage after %v, the last of %d lost after %v, and %d answers after 15 s", outage, gone, last, answers)
	if outage == 0 || outage > 40*time.Second || gone != hung || last > time.Minute {
		t.Errorf("want an outage within 40 s, and %d lost within a minute", hung)
	}
	if least := (agents - hung) / 4; answers < least {
		t.Errorf("want %d answers at least", least)
	}
}

// The same with a whole simulated manager, over its sockets, and how free the one for
// requests is for others meanwhile: with PULSE_HUNG=2000, in two minutes.
func TestAgentsThatHangTogetherLeaveRemotedFree(t *testing.T) {
	hung, err := strconv.Atoi(cmp.Or(os.Getenv("PULSE_HUNG"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	if hung == 0 {
		t.Skip("it takes two minutes, and PULSE_HUNG")
	}
	hangTogether(t, hang{agents: hung * 3 / 2, hung: hung, places: 128, pool: 1024, set: defaultSettings, notify: 10 * time.Second,
		outage: 40 * time.Second, last: time.Minute})
}

type hang struct {
	agents, hung, places, pool int
	set                        detector.Settings
	notify, outage, last       time.Duration
}

func hangTogether(t *testing.T, c hang) {
	s := startManager(t, c.agents, func(m *managersim.Config) { m.RequestPool, m.ResponseTimeout = c.pool, time.Minute })
	s.connectAgents(func(cfg *agentsim.Config) { cfg.Notify, cfg.Spread = c.notify, true })
	s.startLink(c.set, func(cfg *Config) { cfg.MaxInFlight, cfg.UpdateStatus = c.places, false })
	s.waitForCount(detector.Active, c.agents)
	for !s.hasBeenKnownFor(c.notify * 5) { // then their habits are known
		<-time.After(c.notify / 10)
	}
	s.dropDecisions()
	began := time.Now()
	for id := 1; id <= c.hung; id++ {
		if err := s.agents.Fail(fmt.Sprintf("%03d", id), agentsim.Hang); err != nil {
			t.Fatal(err)
		}
	}
	slowest := time.Duration(0)
	for lost := 0; lost < c.hung; lost = s.fleet.Counts().ByStatus[detector.Disconnected] {
		asked := time.Now()
		if answer := askAs(t, s.manager.Home(), fmt.Sprintf("%03d agent getstate", c.agents)); !strings.Contains(answer, "connected") {
			t.Errorf("another client is answered %q", answer)
		}
		slowest = max(slowest, time.Since(asked))
		if time.Since(began) > c.last+patience {
			t.Fatalf("%d of %d are lost after %v, %+v", lost, c.hung, time.Since(began), s.link.Stats())
		}
		<-time.After(c.notify / 10)
	}
	s.fleet.Agent(1)
	s.checkHang(c, began, slowest)
}

// hasBeenKnownFor reports whether so much time has passed since the agents were seen first.
func (s *fixture) hasBeenKnownFor(d time.Duration) bool {
	first := s.listChanges()[0]
	return s.cfg.Clock.Now().Sub(first.At) > d
}

func (s *fixture) checkHang(c hang, began time.Time, slowest time.Duration) {
	s.t.Helper()
	start := s.cfg.Clock.Instant(began)
	var outage, last time.Duration
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.decisions {
		switch d := &s.decisions[i]; {
		case d.Verdict == detector.OutageBegan && outage == 0:
			outage = d.At.Sub(start)
		case d.Verdict == detector.Changed && (int(d.ID) > c.hung || !isLost(*d)):
			s.t.Errorf("one that lives: %+v", d)
		case d.Verdict == detector.Changed:
			last = max(last, d.At.Sub(start))
		}
	}
	stats, load := s.link.Stats(), s.manager.Stats()
	s.t.Logf("%d of %d agents hang: an outage after %v, the last one lost after %v; %d requests at most in flight at remoted, %d of ours; another client's slowest round trip %v",
		c.hung, c.agents, outage.Round(time.Millisecond), last.Round(time.Millisecond), load.MostInFlight, stats.MostInFlight, slowest.Round(time.Millisecond))
	if outage == 0 || outage > c.outage || last > c.last || stats.MostInFlight > c.places || slowest > 2*time.Second {
		s.t.Errorf("want an outage within %v, all lost within %v, %d in flight", c.outage, c.last, c.places)
	}
}
