package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/metrics"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
	"github.com/wazuh-pulse/pulse/internal/view"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(browserCloser{m}) }

// waitTimeout is for what has to come, on a machine that is overloaded.
const waitTimeout = time.Minute

// fixture is a server on a real socket, with a real detector and a history. The
// agents are not there: the test says what is seen of them.
type fixture struct {
	t        testing.TB
	clock    *detector.Clock
	detector *detector.Detector
	history  *history.History
	server   *Server
	url      string
	cfg      Config
	client   http.Client
	mute     func(id detector.AgentID) bool // agents that answer no keep-alive
	silent   func(id detector.AgentID) bool // agents whose host does not answer
	recorded atomic.Int64                   // changes of silences
}

type option func(*Config, *detector.Settings)

// openFixture starts a server of a fleet: so many agents, all known and none connected.
func openFixture(t testing.TB, agents int, with ...option) *fixture {
	t.Helper()
	s := &fixture{t: t, clock: detector.NewClock(), mute: func(detector.AgentID) bool { return false }, silent: func(detector.AgentID) bool { return false }}
	s.history = history.New()
	set := detector.Settings{Group: detector.Group{Interval: time.Hour, Timeout: 3 * time.Hour, MaxMissed: 3}, RetryInterval: time.Hour,
		OutageShare: .3, OutageHold: time.Minute, FlapThreshold: 50, FlapWindow: time.Minute}
	cfg := Config{Node: "node01", Version: "1.2.3", Epoch: 7, Clock: s.clock, History: s.history, Groups: []string{"servers", "desks"},
		Log: slog.New(slog.DiscardHandler)}
	cfg.State = func() State { return s.newState() }
	cfg.Nodes = func() view.NodeList {
		since := view.TruncateTime(time.Now())
		return view.NodeList{Node: "node01", Nodes: []view.Node{{Name: "node01", Self: true, Role: "listener", Version: "1.2.3", State: view.NodeUp, Started: since, Since: &since}}}
	}
	measured := metrics.New("node01", "1.2.3", func() metrics.Node { return metrics.Node{Agents: s.detector.Counts()} })
	cfg.Metrics = measured.Registry()
	for _, change := range with {
		change(&cfg, &set)
	}
	s.detector = detector.New(set, s.clock, func(decisions []detector.Decision) {
		s.history.RecordDecisions(decisions)
		measured.CountDecisions(decisions, s.clock.Now())
		for i := range decisions {
			if d := &decisions[i]; d.Verdict == detector.Send && !s.mute(d.ID) {
				s.detector.Report(detector.Sighting{At: s.clock.Now(), ID: d.ID, Token: d.Token, Kind: detector.SawAnswer})
			} else if d.Verdict == detector.ProbeHost {
				s.reportHost(d)
			}
		}
	})
	if cfg.Fleet == nil {
		cfg.Fleet = s.detector
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.detector.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	s.detector.SetMembers(newMembers(agents))
	s.openSilences(ctx, &cfg)
	s.startServer(cfg, "127.0.0.1:0")
	return s
}

// reportHost reports what the host of a lost agent answers.
func (s *fixture) reportHost(d *detector.Decision) {
	r := detector.HostReport{ID: d.ID, Token: d.Token, At: s.clock.Now(), Host: detector.HostAnswers, Probe: "icmp"}
	if s.silent(d.ID) {
		r.Host = detector.HostSilent
	}
	s.detector.ReportHost(r)
}

// settingsSilences stand in a Config for the silences of the settings, until they are opened.
type settingsSilences []silence.Silence

func (settingsSilences) List() silence.List       { panic("not opened") }
func (settingsSilences) Figures() silence.Figures { panic("not opened") }
func (settingsSilences) Add(context.Context, *silence.Request, string) (silence.Added, error) {
	panic("not opened")
}
func (settingsSilences) End(context.Context, string, string, string) (silence.Shown, error) {
	panic("not opened")
}

// openSilences opens silences like those of the daemon.
func (s *fixture) openSilences(ctx context.Context, cfg *Config) {
	settings, _ := cfg.Silences.(settingsSilences)
	silences := silencer.Open(silencer.Config{Node: "node01", Path: filepath.Join(s.t.TempDir(), "silences.json"), Fleet: s.detector, Settings: settings, Now: time.Now,
		Record: func(change silencer.Change, e *silence.Silence, peer string) { s.recorded.Add(1) }, Postpone: func(err error, _ func() error) { s.t.Error(err) }, Log: cfg.Log})
	cfg.Silences = silences
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	go func() { defer close(ended); silences.Run(ctx) }()
	s.t.Cleanup(func() { stop(); <-ended })
}

// startServer opens the server at an address.
func (s *fixture) startServer(cfg Config, addr string) {
	s.t.Helper()
	var err error
	s.cfg = cfg
	if s.server, err = New(cfg); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	server, served := s.server, make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	s.t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			s.t.Error(err)
		}
		s.client.CloseIdleConnections()
	})
}

func newMembers(n int) []detector.Member {
	all := make([]detector.Member, n)
	for i := range all {
		all[i] = detector.Member{ID: detector.AgentID(i + 1), Name: fmt.Sprintf("host-%03d", i+1), IP: "any"}
	}
	return all
}

// newState is a node like those of the daemon, in what the API promises of it.
func (s *fixture) newState() State {
	n := s.detector.Counts().ByStatus
	return State{Health: view.Health{}, Sequence: 42, Lateness: s.detector.Timings().Lateness, Shown: map[string]any{
		"node": "node01", "version": "1.2.3", "epoch": 7, "started_at": time.Now().UTC(), "uptime": 1, "state": "running", "sequence": 42,
		"health": view.Health{}, "agents": event.AgentCounts{Active: n[0], Disconnected: n[1], Pending: n[2], NeverConnected: n[3]}, "link": map[string]any{"kind": "listen", "connections": n[0]},
		"nats": map[string]any{"state": "embedded", "since": time.Now().UTC()}, "telemetry_dropped": 0}}
}

// addressOfAgent spreads the agents over networks of a hundred.
func addressOfAgent(id detector.AgentID) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1 + byte(id/25600), byte(id / 100), byte(id%100) + 10})
}

// reportSightings reports a sighting of agents.
func (s *fixture) reportSightings(kind detector.Kind, ids ...detector.AgentID) {
	for _, id := range ids {
		s.detector.Report(detector.Sighting{At: s.clock.Now(), Addr: addressOfAgent(id), ID: id, Kind: kind})
	}
}

// connectAgents makes agents active, and waits until they are.
func (s *fixture) connectAgents(from, to detector.AgentID) {
	s.t.Helper()
	before := s.detector.Counts().ByStatus[detector.Active]
	for id := from; id <= to; id++ {
		s.reportSightings(detector.SawStartup, id)
		s.reportSightings(detector.SawKeepAlive, id)
	}
	s.waitFor("the agents to be active", func() bool { return s.detector.Counts().ByStatus[detector.Active] >= before+int(to-from)+1 })
}

func (s *fixture) waitFor(what string, done func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(waitTimeout); !done(); {
		select {
		case <-deadline:
			s.t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// sendRequest returns an answer with its body.
func (s *fixture) sendRequest(method, target string, header ...string) (*http.Response, string) {
	s.t.Helper()
	return s.sendBody(method, target, "", header...)
}

func (s *fixture) sendBody(method, target, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(text)
}

// getJSON reads a good answer into something.
func (s *fixture) getJSON(target string, into any) {
	s.t.Helper()
	answer, text := s.sendRequest(http.MethodGet, target)
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %s", target, answer.Status, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%s: %v: %s", target, err, text)
	}
}

// expectProblem says what is wrong with a request.
func (s *fixture) expectProblem(status int, words, method, target string, header ...string) {
	s.t.Helper()
	answer, text := s.sendRequest(method, target, header...)
	var p problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || answer.StatusCode != status || p.Status != status || p.Title != http.StatusText(status) ||
		answer.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(p.Detail, words) {
		s.t.Errorf("%s %s: %s %s, want %d with %q", method, target, answer.Status, text, status, words)
	}
}

func agentIDs(agents []view.LocatedAgent) []string {
	list := []string{}
	for _, a := range agents {
		list = append(list, a.ID)
	}
	return list
}
