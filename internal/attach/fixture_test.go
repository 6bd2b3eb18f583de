package attach

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testsupport.RunInParallel(8) // they mostly wait
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what has to come.
const patience = time.Minute

// quickSettings are those of a detector that does not make tests wait.
var quickSettings = detector.Settings{Group: detector.Group{Interval: 500 * time.Millisecond, Timeout: time.Minute, MaxMissed: 3},
	Method: detector.Request, RetryInterval: 500 * time.Millisecond, ReconnectGrace: time.Second} // a closed connection has the reason read after 250 ms

// fixture is a simulated manager with agents, and a link to it with a detector.
type fixture struct {
	t       *testing.T
	manager *managersim.Manager
	agents  *agentsim.Fleet
	cfg     Config
	before  []detector.Restored // from an earlier run of the node
	link    *Link
	fleet   *detector.Detector
	log     *logRecorder

	mu        sync.Mutex
	decisions []detector.Decision
	more      chan struct{}
	stopped   func()
}

func keysFor(n int) (keys []clientkeys.Key) {
	var text strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&text, "%03d web-%03d any %064d\n", i, i, i)
	}
	set, _, err := clientkeys.Parse(strings.NewReader(text.String()))
	if err != nil {
		panic(err)
	}
	return set.Keys()
}

// startManager starts a manager with n agents, which do not run yet.
func startManager(t *testing.T, n int, change ...func(*managersim.Config)) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := managersim.Config{Home: dir, Keys: keysFor(n)}
	for _, f := range change {
		f(&cfg)
	}
	m, err := managersim.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{t: t, manager: m, log: new(logRecorder)}
}

// connectAgents runs the agents, and waits until the manager has all of them as active.
func (s *fixture) connectAgents(change ...func(*agentsim.Config)) {
	s.t.Helper()
	cfg := agentsim.Config{Manager: s.manager.AgentAddr().String(), Notify: 300 * time.Millisecond, Retry: 200 * time.Millisecond}
	set, _, err := clientkeys.ReadFile(s.manager.Home() + "/etc/client.keys")
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Keys = set.Keys()
	// All together they send so much, and no more, that a busy machine's database takes it.
	cfg.Notify = max(cfg.Notify, time.Duration(len(cfg.Keys))*40*time.Millisecond)
	for _, f := range change {
		f(&cfg)
	}
	if s.agents, err = agentsim.New(cfg); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.agents.Run(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	s.waitUntil("all agents active at the manager", func() bool {
		all, err := s.manager.Statuses()
		return err == nil && all["active"] == len(cfg.Keys)
	})
}

// startLink runs a link to the manager, and a detector.
func (s *fixture) startLink(set detector.Settings, change ...func(*Config)) {
	s.t.Helper()
	clock := detector.NewClock()
	s.more = make(chan struct{}, 1)
	var link *Link
	s.fleet = detector.New(set, clock, func(out []detector.Decision) {
		for i := range out {
			switch d := &out[i]; {
			case d.Verdict == detector.Send:
				_ = link.KeepAlive(d.ID, d.Token)
			case !d.Verdict.IsRoutine():
				link.OnDecision(d)
			}
		}
		s.mu.Lock()
		s.decisions = append(s.decisions, out...)
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
	})
	s.fleet.Restore(s.before, nil)
	s.cfg = Config{Home: s.manager.Home(), Method: set.Method, MaxInFlight: 128, Grace: set.ReconnectGrace, Timeout: set.Timeout, UpdateStatus: true,
		Clock: clock, Fleet: s.fleet, Log: slog.New(s.log)}
	for _, f := range change {
		f(&s.cfg)
	}
	link, err := Open(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.link = link
	if link.writer != nil {
		link.writer.recheckAfter = 300 * time.Millisecond
	}
	link.reader.period, link.monitor.period, link.db.Timeout = 200*time.Millisecond, 500*time.Millisecond, 5*time.Second
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.fleet.Run(ctx) })
	running.Go(func() { link.Run(ctx) })
	s.stopped = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(s.stopped)
}

// waitUntil waits until something holds. It checks after each change at the manager, and
// from time to time.
func (s *fixture) waitUntil(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		changed := s.manager.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			s.t.Fatalf("not %s; log: %q", what, s.log.allLines())
		}
	}
}

// waitForDecision waits for a decision that fits, among all since the last dropDecisions.
func (s *fixture) waitForDecision(what string, fits func(d *detector.Decision) bool) detector.Decision {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		for i := range s.decisions {
			if fits(&s.decisions[i]) {
				d := s.decisions[i]
				s.mu.Unlock()
				return d
			}
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("no %s; %+v; log: %q", what, s.link.Stats(), s.log.allLines())
		}
	}
}

// waitForChange waits for a change of an agent's status.
func (s *fixture) waitForChange(id detector.AgentID, to detector.Status) detector.Decision {
	s.t.Helper()
	return s.waitForDecision(fmt.Sprintf("change of %v to %v", id, to), func(d *detector.Decision) bool {
		return d.Verdict == detector.Changed && d.ID == id && d.To == to
	})
}

// waitForCount waits until so many agents are in a status and their changes are recorded.
func (s *fixture) waitForCount(status detector.Status, n int) {
	s.t.Helper()
	s.waitUntil(fmt.Sprintf("%d agents %v", n, status), func() bool { return s.fleet.Counts().ByStatus[status] == n })
	s.fleet.Agent(1) // the decisions are of the round that counted, and this waits for its end
}

// dropDecisions drops the decisions so far.
func (s *fixture) dropDecisions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decisions = nil
}

// listChanges returns the changes of status since the last dropDecisions.
func (s *fixture) listChanges() (all []detector.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.decisions {
		if d.Verdict == detector.Changed {
			all = append(all, d)
		}
	}
	return all
}

// logRecorder records what is logged.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
}

func (l *logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (l *logRecorder) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logRecorder) WithGroup(string) slog.Handler            { return l }

func (l *logRecorder) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logRecorder) allLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// linesAbout returns the lines that contain a text.
func (l *logRecorder) linesAbout(text string) (some []string) {
	for _, line := range l.allLines() {
		if strings.Contains(line, text) {
			some = append(some, line)
		}
	}
	return some
}

// waitForLog waits until something is logged.
func (s *fixture) waitForLog(text string) {
	s.t.Helper()
	s.waitUntil("logged: "+text, func() bool { return len(s.log.linesAbout(text)) > 0 })
}

func formatNumber(n int64) string { return strconv.FormatInt(n, 10) }
