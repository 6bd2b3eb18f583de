package attach

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// startHeldWriter runs a statusWriter for a manager with one agent that is active there.
func startHeldWriter(t *testing.T) (*fixture, *statusWriter) {
	s := startManager(t, 1)
	return s, s.startWriter(wazuhdb.ClusterRole{}, "connection_status = 'active', last_keepalive = ?", time.Now().Unix()-100)
}

// decideOn has the writer handle a decision about the agent.
func (w *statusWriter) decideOn(d detector.Decision) {
	now := time.Now()
	d.ID, d.Time, d.LastSeenTime, d.Seen = 1, now, now.Add(-90*time.Second), true
	if d.Verdict == detector.Changed {
		w.addStatusTask(&d)
	} else {
		w.releaseAlert(&d)
	}
}

var (
	heldLoss = detector.Decision{Verdict: detector.Changed, From: detector.Active, To: detector.Disconnected, Reason: detector.MissedKeepAlives, AlertHeld: true}
	released = detector.Decision{Verdict: detector.AlertReleased, To: detector.Disconnected, Reason: detector.MissedKeepAlives}
	longer   = detector.Decision{Verdict: detector.Escalated, To: detector.Disconnected, Reason: detector.MissedKeepAlives}
	isBack   = detector.Decision{Verdict: detector.Changed, From: detector.Disconnected, To: detector.Active, Reason: detector.Reconnected}
)

func TestRule504IsRaisedOnceForEachLossThatIsAnnounced(t *testing.T) {
	openLoss := heldLoss
	openLoss.AlertHeld = false
	for _, c := range []struct {
		name   string
		set    string // of the agent's row, before the last decision but those after it
		before []detector.Decision
		after  []detector.Decision
		want   int
	}{
		{"a loss whose alert is not held", "", []detector.Decision{openLoss}, nil, 1},
		{"a held one", "", []detector.Decision{heldLoss}, nil, 0},
		{"a held one that is released", "", []detector.Decision{heldLoss}, []detector.Decision{released}, 1},
		{"one that is released twice", "", []detector.Decision{heldLoss}, []detector.Decision{released, longer, longer}, 1},
		{"one that is released because it lasts", "", []detector.Decision{heldLoss}, []detector.Decision{longer, longer}, 1},
		{"one that is released before it is written", "", []detector.Decision{heldLoss, released}, nil, 1},
		{"a held one, and the agent is back", "", []detector.Decision{heldLoss}, []detector.Decision{isBack}, 0},
		{"one that lasts, and was raised at once", "", []detector.Decision{openLoss}, []detector.Decision{longer, longer}, 1},
		{"one that the manager has marked itself", "connection_status = 'disconnected', status_code = 4", []detector.Decision{heldLoss}, []detector.Decision{released, longer}, 0},
		{"one of an earlier run that is released", "connection_status = 'disconnected', status_code = 4", nil, []detector.Decision{released}, 1},
		{"one of an earlier run that was not written", "connection_status = 'active'", nil, []detector.Decision{released}, 1},
		{"one of an earlier run, and a goodbye since", "connection_status = 'disconnected', status_code = 3", nil, []detector.Decision{released}, 0},
		{"one of an earlier run that lasts, and was raised then", "connection_status = 'disconnected', status_code = 4", nil, []detector.Decision{longer}, 0},
		{"a shutdown that lasts", "connection_status = 'disconnected', status_code = 3", nil,
			[]detector.Decision{{Verdict: detector.Escalated, To: detector.Disconnected, Reason: detector.AgentShutdown}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, w := startHeldWriter(t)
			if c.set != "" {
				if err := s.manager.Exec("UPDATE agent SET " + c.set); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range c.before {
				w.decideOn(d)
			}
			s.waitForIdle(w)
			if len(c.after) > 0 && len(s.manager.Events()) > c.want {
				t.Errorf("raised before it is released: %q", s.manager.Events())
			}
			for _, d := range c.after {
				w.decideOn(d)
				s.waitForIdle(w)
			}
			s.waitUntil("raised", func() bool { return len(s.manager.Events()) >= c.want })
			if events := s.manager.Events(); len(events) != c.want {
				t.Errorf("%d events, want %d: %q", len(events), c.want, events)
			}
			if writes := s.manager.Writes(); c.set == "" && len(writes) != 1 {
				t.Errorf("the loss is written whether its alert is held or not: %q", writes)
			}
		})
	}
}

// Where Pulse restarts while alerts are held, they stay held, and are raised when they are
// released.
func TestAHeldAlertOfRule504OutlivesARestart(t *testing.T) {
	s := startManager(t, 2)
	s.connectAgents()
	for _, id := range []string{"001", "002"} {
		if err := s.agents.Fail(id, agentsim.Kill); err != nil {
			t.Fatal(err)
		}
	}
	s.waitUntil("their connections gone", func() bool { return s.manager.Stats().Agents == 0 })
	now, clock := time.Now(), detector.NewClock()
	for id, set := range map[int]string{1: "connection_status = 'active', last_keepalive = ?", 2: "connection_status = 'disconnected', status_code = 4, last_keepalive = ?"} {
		if err := s.manager.Exec("UPDATE agent SET "+set+" WHERE id = ?", now.Unix()-10, id); err != nil {
			t.Fatal(err)
		}
		lost := clock.Instant(time.Unix(now.Unix()-5, 0))
		s.before = append(s.before, detector.Restored{Member: detector.Member{ID: detector.AgentID(id), Name: fmt.Sprintf("web-%03d", id), IP: "any"},
			Status: detector.Disconnected, Reason: detector.ConnectionLost, Since: lost, LastSeen: lost, Greeted: true, AlertHeld: true})
	}
	set := quickSettings
	set.Interval = time.Minute // for which the detector holds them
	s.startLink(set)
	s.waitUntil("the loss written, and both alerts held", func() bool {
		s.link.writer.mu.Lock()
		defer s.link.writer.mu.Unlock()
		return strings.Contains(s.link.writer.held[1], "Agent disconnected") && strings.Contains(s.link.writer.held[2], "Agent disconnected")
	})
	if events := s.manager.Events(); len(events) != 0 {
		t.Errorf("raised: %q", events)
	}
	for id := detector.AgentID(1); id <= 2; id++ {
		s.link.OnDecision(&detector.Decision{Verdict: detector.Escalated, ID: id, Time: now, To: detector.Disconnected, Reason: detector.ConnectionLost})
	}
	s.waitUntil("both raised", func() bool { return len(s.manager.Events()) == 2 })
}

func TestAnAlertOf504IsOneLineWhateverAnAgentIsCalled(t *testing.T) {
	line := formatDisconnectedAlert(1, "a:b|\nossec: Agent started: \x1b", strings.Repeat("::", 1<<15))
	if head, rest, _ := strings.Cut(line, ":ossec: Agent disconnected: '"); strings.ContainsAny(line, "\n\x1b") || len(line) > 4096 ||
		!strings.HasPrefix(head, "1:[001] (a|:b||?ossec|: Agent started|: ?) |:|:") || !strings.HasPrefix(rest, "a:b|?ossec: Agent started: ?-::") {
		t.Errorf("%d bytes: %.300q", len(line), line)
	}
	if got, want := formatDisconnectedAlert(7, "web-01", "any"), "1:[007] (web-01) any->wazuh-monitord:ossec: Agent disconnected: 'web-01-any'."; got != want {
		t.Errorf("%q", got)
	}
}
