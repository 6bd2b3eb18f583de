package attach

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// A keep-alive that waited while wazuh-db stood still is stamped with the time at which it
// was processed. That brings nobody back who was lost meanwhile, and the loss is written.
func TestAKeepAliveThatWaitedForTheDatabaseBringsNobodyBack(t *testing.T) {
	for how, reason := range map[agentsim.Failure]detector.Reason{agentsim.Kill: detector.ConnectionLost, agentsim.Hang: detector.MissedKeepAlives} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 3)
			s.connectAgents()
			s.startLink(quickSettings)
			s.waitForCount(detector.Active, 3)
			s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged && d.ID == 2 })
			s.manager.StallDB()
			s.waitUntil("keep-alives wait", func() bool { return s.manager.HeldByStall() > 9 })
			if err := s.agents.Fail("002", how); err != nil {
				t.Fatal(err)
			}
			if got := s.waitForChange(2, detector.Disconnected); got.Reason != reason {
				t.Errorf("%+v", got)
			}
			lost := time.Now().Unix()
			s.waitUntil("a later second", func() bool { return time.Now().Unix() > lost+1 })
			s.dropDecisions()
			asked := s.link.Stats().Requests
			s.manager.ResumeDB()
			s.waitUntil("stamped after the loss, and asked", func() bool {
				row, err := s.manager.Agent(2)
				return err == nil && row.KeepAlive > lost && s.isProbed(2) && s.link.Stats().Requests > asked
			})
			if how == agentsim.Kill { // of the other one, nobody knows before a timeout
				s.waitUntil("the loss written", func() bool { return len(s.manager.Writes()) == 1 && len(s.manager.Events()) == 1 })
			}
			if got := s.listChanges(); len(got) != 0 {
				t.Errorf("%+v", got)
			}
			s.dropDecisions()
			if err := s.agents.Revive("002"); err != nil {
				t.Fatal(err)
			}
			if got := s.waitForChange(2, detector.Active); got.Reason != detector.Reconnected {
				t.Errorf("%+v", got)
			}
		})
	}
}

// isProbed reports whether an agent was probed because of a sign of life that may be none.
func (s *fixture) isProbed(id detector.AgentID) bool {
	as := s.link.tracker.absences
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.byAgent[id]
	return a != nil && (a.probed || !a.unconnectedAt.IsZero())
}

// An answer proves that an agent is back, if it was asked after it was given up. Signs of
// life in the database do so only if there are two, and as far apart as keep-alives are.
func TestWhatProvesThatAnAgentIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := newAbsences(nil)
		sign := func(want, ask bool, what string) {
			t.Helper()
			if there, asks := as.recordSignOfLife(1, wazuhdb.StatusActive, time.Now().Unix(), false); there != want || asks != ask {
				t.Errorf("%s: there %v, asked %v", what, there, asks)
			}
		}
		sign(true, false, "an agent that was never away")
		before := time.Now()
		time.Sleep(time.Second)
		as.beginAbsence(1, time.Now(), true)
		if there, asks := as.recordSignOfLife(1, wazuhdb.StatusActive, before.Unix(), false); there || asks {
			t.Error("a sign from before the loss counts")
		}
		if _, proves := as.endByAnswer(1, before); proves {
			t.Error("an answer to a request from before the loss proves something")
		}
		for range 5 {
			time.Sleep(time.Second)
			sign(false, true, "a burst after a stall")
		}
		as.markAgentUnconnected(1, time.Now())
		time.Sleep(minSignInterval - time.Second)
		sign(false, true, "the first after it was found not to be connected")
		time.Sleep(10 * time.Second)
		sign(true, true, "the second, one keep-alive later")
		sign(true, false, "the next")
		as.beginAbsence(1, time.Now(), true)
		time.Sleep(time.Second)
		if over, proves := as.endByAnswer(1, time.Now()); !proves || over == nil || !over.needsProof {
			t.Errorf("an answer: %+v, %v", over, proves)
		}
		sign(true, false, "after the answer")
		as.beginAbsence(1, time.Now(), false)
		time.Sleep(time.Second)
		sign(true, true, "one whose connection ended, and that was not given up")
	})
}

// Whichever way the wall clock is set, an agent that comes back is seen to, at once, and
// one that stays away is not.
func TestAStepOfTheClockHidesNoReturn(t *testing.T) {
	for name, step := range map[string]int64{"back": -3600, "forward": 3600} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stepped atomic.Int64
			wall := func() time.Time { return time.Now().Round(0).Add(time.Duration(stepped.Load()) * time.Second) }
			s := startManager(t, 3, func(c *managersim.Config) { c.Now = func() int64 { return wall().Unix() } })
			s.connectAgents()
			s.startLink(quickSettings, func(c *Config) { c.wall = wall })
			s.waitForCount(detector.Active, 3)
			for _, id := range []string{"002", "003"} {
				if err := s.agents.Fail(id, agentsim.Kill); err != nil {
					t.Fatal(err)
				}
			}
			s.waitForChange(2, detector.Disconnected)
			s.waitForChange(3, detector.Disconnected)
			s.dropDecisions()
			stepped.Store(step)
			if err := s.agents.Revive("002"); err != nil {
				t.Fatal(err)
			}
			s.waitForChange(2, detector.Active)
			if err := s.agents.Fail("001", agentsim.Shutdown); err != nil {
				t.Fatal(err)
			}
			if got := s.waitForChange(1, detector.Disconnected); got.Reason != detector.AgentShutdown {
				t.Errorf("a goodbye is %v", got.Reason)
			}
			if slices.ContainsFunc(s.listChanges(), func(d detector.Decision) bool { return d.ID == 3 }) {
				t.Errorf("%+v", s.listChanges())
			}
		})
	}
}
