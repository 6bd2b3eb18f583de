package attach

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// startWriter runs a statusWriter for a manager whose one agent's row is updated by set.
func (s *fixture) startWriter(role wazuhdb.ClusterRole, set string, args ...any) *statusWriter {
	s.t.Helper()
	if err := s.manager.Exec("UPDATE agent SET "+set+" WHERE id = 1", args...); err != nil {
		s.t.Fatal(err)
	}
	w := &statusWriter{index: new(agentIndex), passive: newPassiveAgents("", role), hasAlerts: true, db: wazuhdb.NewClient(wazuhsock.Home(s.manager.Home()), role, patience), role: role,
		queue: wazuhsock.NewQueue(filepath.Join(s.manager.Home(), wazuhsock.AnalysisQueue)), timeout: time.Hour, recheckAfter: time.Hour, grace: time.Second, log: slog.New(s.log),
		conditions: newConditions(slog.New(s.log)), absences: newAbsences(nil),
		tasks: make(map[detector.AgentID]task), held: make(map[detector.AgentID]string), unconfirmed: make(map[detector.AgentID]task)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.runWriter(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait(); w.db.Close() })
	return w
}

// waitForIdle waits until a statusWriter has no task that is due.
func (s *fixture) waitForIdle(w *statusWriter) {
	s.t.Helper()
	s.waitUntil("all done", func() bool { return len(w.listDueTasks(time.Now())) == 0 })
}

func (w *statusWriter) loseAgent(reason detector.Reason, seen time.Duration) {
	now := time.Now()
	w.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: 1, Time: now, From: detector.Active, To: detector.Disconnected, Reason: reason,
		LastSeenTime: now.Add(-seen), Seen: true})
}

func TestNothingIsWrittenThatTheDatabaseKnowsBetter(t *testing.T) {
	now := time.Now().Unix()
	for _, c := range []struct {
		name, set string
		keepAlive int64
		reason    detector.Reason
		written   bool
	}{
		{"silent for as long as was known", "connection_status = 'active', last_keepalive = ?", now - 100, detector.MissedKeepAlives, true},
		{"a keep-alive since the last that was known", "connection_status = 'active', last_keepalive = ?", now - 30, detector.MissedKeepAlives, false},
		{"a keep-alive before the connection ended", "connection_status = 'active', last_keepalive = ?", now - 30, detector.ConnectionLost, true},
		{"a keep-alive after the loss", "connection_status = 'active', last_keepalive = ?", now + 30, detector.ConnectionLost, false},
		{"a new start, after the loss", "connection_status = 'pending', last_keepalive = ?", now + 30, detector.KeepAliveTimeout, false},
		{"marked already", "connection_status = 'disconnected', status_code = 4, last_keepalive = ?", now - 100, detector.MissedKeepAlives, false},
		{"said goodbye", "connection_status = 'disconnected', status_code = 3, last_keepalive = ?", now - 100, detector.MissedKeepAlives, false},
		{"remoted was started anew, and it did not come back", "connection_status = 'disconnected', status_code = 5, last_keepalive = ?", now - 100, detector.MissedKeepAlives, true},
		{"the same, after its connection had ended", "connection_status = 'disconnected', status_code = 5, last_keepalive = ?", now - 100, detector.ConnectionLost, true},
		{"never came", "connection_status = 'never_connected', last_keepalive = ?", 0, detector.MissedKeepAlives, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 1)
			w := s.startWriter(wazuhdb.ClusterRole{}, c.set, c.keepAlive)
			w.loseAgent(c.reason, 90*time.Second)
			w.loseAgent(c.reason, 90*time.Second) // said twice, it is one loss
			s.waitForIdle(w)
			want := map[bool]int{true: 1}[c.written]
			s.waitUntil("the alert", func() bool { return len(s.manager.Events()) >= want }) // the manager reads it in its own time
			writes, events := len(s.manager.Writes()), len(s.manager.Events())
			if writes != want || events != want {
				t.Errorf("%d writes and %d events, want %d: %q", writes, events, want, s.manager.Writes())
			}
		})
	}
}

// A write that was done, and whose answer was lost, is not done again; its alert
// is raised once.
func TestALostAnswerIsNoSecondWrite(t *testing.T) {
	s := startManager(t, 1)
	w := s.startWriter(wazuhdb.ClusterRole{}, "connection_status = 'active', last_keepalive = ?", time.Now().Unix()-100)
	row, err := w.db.ReadAgent(t.Context(), 1)
	if err != nil || row == nil {
		t.Fatal(row, err)
	}
	e := task{due: time.Now().Add(time.Hour), lost: time.Now(), seen: time.Now()}
	w.mu.Lock()
	w.tasks[1] = e
	w.mu.Unlock()
	s.manager.Misbehave(managersim.DatabaseSocket, managersim.Fault{Kind: managersim.HungUp})
	if done, alert, err := w.writeLossToDatabase(t.Context(), 1, row, e); done || alert != "" || err == nil {
		t.Errorf("without an answer: %v, %q, %v", done, alert, err)
	}
	s.manager.Misbehave(managersim.DatabaseSocket, managersim.Fault{})
	if done, alert, err := w.updateStatus(t.Context(), 1, e); !done || alert == "" || err != nil {
		t.Errorf("again: %v, %q, %v", done, alert, err)
	}
	if done, alert, err := w.updateStatus(t.Context(), 1, e); !done || alert != "" || err != nil {
		t.Errorf("a third time: %v, %q, %v", done, alert, err)
	}
	if writes := s.manager.Writes(); len(writes) != 1 {
		t.Errorf("written %q", writes)
	}
}

// While analysisd does not run, the loss is written and its alert waits; that of an
// agent that is back meanwhile is not raised any more.
func TestAnAlertWaitsForAnalysisd(t *testing.T) {
	s := startManager(t, 2)
	w := s.startWriter(wazuhdb.ClusterRole{}, "connection_status = 'active', last_keepalive = ?", time.Now().Unix()-100)
	if err := s.manager.Exec("UPDATE agent SET connection_status = 'active', last_keepalive = ? WHERE id = 2", time.Now().Unix()-100); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.queue.SocketPath(), w.queue.SocketPath()+".away"); err != nil {
		t.Fatal(err)
	}
	w.loseAgent(detector.MissedKeepAlives, time.Minute)
	now := time.Now()
	w.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: 2, Time: now, To: detector.Disconnected, Reason: detector.ConnectionLost})
	s.waitUntil("both written", func() bool { return len(s.manager.Writes()) == 2 })
	s.waitForLog("wazuh-analysisd is not running")
	w.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: 2, Time: now, From: detector.Disconnected, To: detector.Active, Reason: detector.Reconnected})
	if err := os.Rename(w.queue.SocketPath()+".away", w.queue.SocketPath()); err != nil {
		t.Fatal(err)
	}
	s.waitForLog("wazuh-analysisd is there again")
	s.waitUntil("the alert", func() bool { return len(s.manager.Events()) > 0 })
	s.waitForIdle(w)
	if events := s.manager.Events(); len(events) != 1 || !strings.HasPrefix(events[0], "1:[001] ") || len(s.manager.Writes()) != 2 {
		t.Errorf("raised %q, written %q", events, s.manager.Writes())
	}
}

// Pulse does not end between a loss in the database and its alert.
func TestWhatIsBeingWrittenIsFinished(t *testing.T) {
	s := startManager(t, 1)
	w := s.startWriter(wazuhdb.ClusterRole{}, "connection_status = 'active', last_keepalive = ?", time.Now().Unix()-100)
	e := task{due: time.Now().Add(time.Hour), lost: time.Now(), seen: time.Now()}
	w.mu.Lock()
	w.tasks[1] = e
	w.mu.Unlock()
	ended, end := context.WithCancel(t.Context())
	end()
	if done, line, err := w.writeLossToDatabase(ended, 1, &wazuhdb.Row{ID: 1, Name: "web-001", Registered: "any"}, e); !done || line == "" || err != nil {
		t.Errorf("%v, %q, %v", done, line, err)
	}
}

// What an earlier life of the node decided, and may not have come to write, is
// written; and what it knew is not undone by older signs of life.
func TestALossFromBeforeTheStartIsWritten(t *testing.T) {
	s := startManager(t, 2)
	s.connectAgents()
	if err := s.agents.Fail("001", agentsim.Kill); err != nil { // the second is back, and answers
		t.Fatal(err)
	}
	s.waitUntil("its connection gone", func() bool { return s.manager.Stats().Agents == 1 })
	now, clock := time.Now(), detector.NewClock()
	if err := s.manager.Exec("UPDATE agent SET connection_status = 'active', last_keepalive = ? WHERE id = 1", now.Unix()-10); err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= 2; id++ {
		lost := clock.Instant(time.Unix(now.Unix()-5, 0))
		s.before = append(s.before, detector.Restored{Member: detector.Member{ID: detector.AgentID(id), Name: fmt.Sprintf("web-%03d", id), IP: "any"},
			Status: detector.Disconnected, Reason: detector.ConnectionLost, Since: lost, LastSeen: lost, Greeted: true})
	}
	s.startLink(quickSettings)
	if got := s.waitForChange(2, detector.Active); got.Reason != detector.Reconnected {
		t.Errorf("%+v", got)
	}
	s.waitUntil("written, with its alert", func() bool { return len(s.manager.Writes()) == 1 && len(s.manager.Events()) == 1 })
	if row, err := s.manager.Agent(1); err != nil || row.Status != "disconnected" || row.Code != 4 {
		t.Errorf("%+v, %v", row, err)
	}
	for _, d := range s.listChanges() {
		if d.ID == 1 {
			t.Errorf("%+v", d)
		}
	}
}

func TestWhoComesBackInTimeIsNotWritten(t *testing.T) {
	s := startManager(t, 1)
	w := s.startWriter(wazuhdb.ClusterRole{Node: "west"}, "connection_status = 'active', node_name = 'west', last_keepalive = ?", time.Now().Unix()-100)
	w.loseAgent(detector.ConnectionLost, time.Minute)
	w.mu.Lock()
	e, held := w.tasks[1]
	w.mu.Unlock()
	if !held || time.Until(e.due) < clusterHold/2 {
		t.Errorf("in a cluster, a loss is written at once: %+v", e)
	}
	w.addStatusTask(&detector.Decision{Verdict: detector.Changed, ID: 1, From: detector.Disconnected, To: detector.Active, Reason: detector.Reconnected})
	w.mu.Lock()
	e = w.tasks[1]
	w.mu.Unlock()
	if !e.checksReturn {
		t.Errorf("after its return: %+v", e)
	}
	if done, alert, err := w.updateStatus(t.Context(), 1, e); !done || alert != "" || err != nil || w.unmarked.Load() != 0 {
		t.Errorf("marked: %v, %q, %v", done, alert, err)
	}
	if err := s.manager.Exec("UPDATE agent SET connection_status = 'disconnected'"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.updateStatus(t.Context(), 1, e); err != nil || w.unmarked.Load() != 1 || len(s.log.linesAbout("still calls it disconnected")) != 1 {
		t.Errorf("not marked: %v, log %q", err, s.log.allLines())
	}
}

func TestAWorkersWordWaitsForItsMaster(t *testing.T) {
	for version, sync := range map[string]string{"v4.14.7": "syncreq_status", "v4.5.4": "syncreq"} {
		t.Run(version, func(t *testing.T) {
			s := startManager(t, 1, func(c *managersim.Config) { c.Version = version })
			place := wazuhdb.ClusterRole{Node: "west", Worker: true}
			w := s.startWriter(place, "connection_status = 'active', node_name = 'west', last_keepalive = ?", time.Now().Unix()-100)
			w.loseAgent(detector.ConnectionLost, time.Minute)
			w.mu.Lock()
			e := w.tasks[1]
			w.mu.Unlock()
			if done, alert, err := w.updateStatus(t.Context(), 1, e); !done || alert == "" || err != nil {
				t.Errorf("%v, %q, %v", done, alert, err)
			}
			if row, err := s.manager.Agent(1); err != nil || row.Sync != sync || row.Status != "disconnected" {
				t.Errorf("%+v, %v", row, err)
			}
			if err := s.manager.Exec("UPDATE agent SET connection_status = 'active', node_name = 'east'"); err != nil {
				t.Fatal(err)
			}
			if done, alert, err := w.updateStatus(t.Context(), 1, e); !done || alert != "" || err != nil {
				t.Errorf("moved: %v, %q, %v", done, alert, err)
			}
		})
	}
}

func TestAWorkerIsCautionedWhenItStarts(t *testing.T) {
	s := startManager(t, 1)
	for _, writes := range []bool{false, true} {
		s.log = new(logRecorder)
		if _, err := Open(Config{Home: s.manager.Home(), Cluster: wazuhdb.ClusterRole{Node: "west", Worker: true}, UpdateStatus: writes, Clock: detector.NewClock(), Log: slog.New(s.log)}); err != nil {
			t.Fatal(err)
		}
		if said := len(s.log.linesAbout("moves to another node")) > 0; said != writes {
			t.Errorf("writes: %v, and the log has %q", writes, s.log.allLines())
		}
	}
}
