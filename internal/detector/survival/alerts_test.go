package survival

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// TestAKillNeitherRepeatsNorForgetsAnAlert kills the daemon again and again while agents
// are away, at any moment between a decision and its publication. Every loss has each of
// its alerts once at most, the escalations in their order, and the last of them.
func TestAKillNeitherRepeatsNorForgetsAnAlert(t *testing.T) {
	t.Parallel()
	const agents, steps = 12, 14
	s := newSite(t, agents)
	for n := 1; n <= steps; n++ {
		s.cfg.KeepAlive.EscalateAfter = append(s.cfg.KeepAlive.EscalateAfter[:n-1], time.Duration(n)*time.Second)
	}
	s.writeSettings()
	fleet, random := s.fleet(time.Minute), rand.New(rand.NewPCG(3, 0))
	d := &drama{t: t, site: s, fleet: fleet, random: random, away: map[string]period{}, past: map[string][]period{}}
	first := s.start(true)
	d.settle()
	for i, how := range []agentsim.Failure{agentsim.Hang, agentsim.Kill, agentsim.Hang, agentsim.Kill, agentsim.Shutdown, agentsim.Hang} {
		id := s.keys[2*i].ID
		d.must(fleet.Fail(id, how))
		d.away[id] = period{how: how, from: time.Now()}
	}
	<-time.After(300 * time.Millisecond) // those that were killed are lost just now
	first.kill()
	l, lives := s.start(true), 0
	d.settle() // all are lost
	for began := time.Now(); time.Since(began) < (steps-4)*time.Second; lives++ {
		<-time.After(time.Duration(900+random.IntN(300)) * time.Millisecond) // a life's first escalations come after a second
		l.kill()
		l = s.start(true)
	}
	deadline := time.Now().Add(patience)
	for {
		h, err := s.read()
		if err == nil {
			err = h.checkLastAlerts(d.away, steps)
		}
		if err == nil {
			t.Logf("%d lives, %d epochs that published, %d alerts", lives, len(h.numbers), h.checkAlerts(t))
			h.checkNumbers(t)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// checkLastAlerts wants the last escalation of each agent that is away.
func (h *history) checkLastAlerts(away map[string]period, steps int) error {
	for id := range away {
		alerts := h.alerts[id]
		if n := len(alerts); n == 0 || alerts[n-1].AwayFor < int64(steps) {
			return fmt.Errorf("agent %s has %d alerts, and not that after %d s: %+v", id, n, steps, alerts)
		}
	}
	return nil
}

// checkAlerts wants no alert of a loss twice, and each escalation after the one before. It
// returns how many there are.
func (h *history) checkAlerts(t *testing.T) (n int) {
	t.Helper()
	for id, alerts := range h.alerts {
		n += len(alerts)
		losses := 0
		for _, c := range h.changes[id] {
			if c.CurrentStatus == event.Disconnected {
				losses++
			}
		}
		if losses != 1 {
			t.Errorf("agent %s was lost %d times: %+v", id, losses, h.changes[id])
		}
		last := int64(-1)
		for _, c := range alerts {
			if c.AwayFor <= last {
				t.Errorf("agent %s: an alert after %d s follows one after %d s", id, c.AwayFor, last)
			}
			last = c.AwayFor
		}
	}
	return n
}
