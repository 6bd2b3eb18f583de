package attach

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// asInstalled are the settings that Pulse has without any.
var asInstalled = detector.Settings{Group: detector.Group{Interval: time.Minute, Timeout: 3 * time.Minute, MaxMissed: 3}, Method: detector.Request,
	RetryInterval: 15 * time.Second, SuspectTimeout: 5 * time.Second, ReconnectGrace: 2 * time.Second, OutageShare: 0.3, OutageHold: time.Minute}

// quickAnswers gives agents a tenth of the time to answer.
func quickAnswers(set detector.Settings) detector.Settings {
	set.RetryInterval, set.SuspectTimeout = set.RetryInterval/10, set.SuspectTimeout/10
	return set
}

// Agents that hang together are an outage soon, and each is lost soon, though only a part
// of them can be asked meanwhile; remoted's socket is free for others, and who lives stays.
// With PULSE_HUNG=2000 this is measured with Wazuh's and Pulse's own times, in two minutes.
func TestAgentsThatHangTogetherAreKnownBeforeAllAreAsked(t *testing.T) {
	if text := os.Getenv("PULSE_HUNG"); text != "" {
		hung, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		hangTogether(t, hang{agents: hung * 3 / 2, hung: hung, places: 128, pool: 1024, set: asInstalled, notify: 10 * time.Second,
			outage: 40 * time.Second, last: time.Minute})
		return
	}
	t.Parallel()
	hangTogether(t, hang{agents: 150, hung: 100, places: 16, pool: 128, set: quickAnswers(asInstalled), notify: time.Second, outage: time.Minute, last: time.Minute})
}

type hang struct {
	agents, hung, places, pool int
	set                        detector.Settings
	notify, outage, last       time.Duration
}

func hangTogether(t *testing.T, c hang) {
	s := manage(t, c.agents, func(m *managersim.Config) { m.RequestPool, m.ResponseTimeout = c.pool, time.Minute })
	s.connect(func(cfg *agentsim.Config) { cfg.Notify, cfg.Spread = c.notify, true })
	s.attach(c.set, func(cfg *Config) { cfg.MaxInFlight, cfg.UpdateStatus = c.places, false })
	s.counted(detector.Active, c.agents)
	for !s.heard(c.notify * 5) { // then their habits are known
		<-time.After(c.notify / 10)
	}
	s.forget()
	began := time.Now()
	for id := 1; id <= c.hung; id++ {
		if err := s.agents.Fail(fmt.Sprintf("%03d", id), agentsim.Hang); err != nil {
			t.Fatal(err)
		}
	}
	slowest := time.Duration(0)
	for lost := 0; lost < c.hung; lost = s.fleet.Counts()[detector.Disconnected] {
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
	s.judgeHang(c, began, slowest)
}

// heard reports whether so much time has passed since the agents were seen first.
func (s *scene) heard(d time.Duration) bool {
	first := s.changes()[0]
	return s.cfg.Clock.Now().Sub(first.At) > d
}

func (s *scene) judgeHang(c hang, began time.Time, slowest time.Duration) {
	s.t.Helper()
	start := s.cfg.Clock.Instant(began)
	var outage, last time.Duration
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.said {
		switch d := &s.said[i]; {
		case d.Verdict == detector.OutageBegan && outage == 0:
			outage = d.At.Sub(start)
		case d.Verdict == detector.Changed && (int(d.ID) > c.hung || !lost(*d)):
			s.t.Errorf("one that lives: %+v", d)
		case d.Verdict == detector.Changed:
			last = max(last, d.At.Sub(start))
		}
	}
	stats, load := s.link.Stats(), s.manager.Stats()
	s.t.Logf("%d of %d agents hang: an outage after %v, the last one lost after %v; %d requests at most in flight at remoted, %d of ours; another client's slowest round trip %v",
		c.hung, c.agents, outage.Round(time.Millisecond), last.Round(time.Millisecond), load.MostInFlight, stats.MostInFlight, slowest.Round(time.Millisecond))
	if outage == 0 || outage > c.outage || last > c.last || stats.MostInFlight > c.places || slowest > patience {
		s.t.Errorf("want an outage within %v, all lost within %v, %d in flight", c.outage, c.last, c.places)
	}
}
