package silencer

import (
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// testFleet is a fleet of which silences are known at once.
type testFleet struct {
	mu      sync.Mutex
	agents  []detector.Record
	later   map[detector.AgentID]bool // silenced agents that are not in the fleet
	looked  int                       // agents that were read
	changes int
}

func newTestFleet(n int) *testFleet {
	f := &testFleet{later: make(map[detector.AgentID]bool)}
	for i := range n {
		f.agents = append(f.agents, detector.Record{ID: detector.AgentID(i + 1), Name: fmt.Sprintf("host-%d", i+1), IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255),
			Info: unique.Make(detector.Info{Groups: []string{"default,web", "default,db"}[i%2]})})
	}
	return f
}

func (f *testFleet) Page(n int) ([]detector.Record, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lo, hi := min(n*detector.PageSize, len(f.agents)), min((n+1)*detector.PageSize, len(f.agents))
	f.looked += hi - lo
	return slices.Clone(f.agents[lo:hi]), hi < len(f.agents)
}

func (f *testFleet) Agent(id detector.AgentID) (detector.Record, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked++
	if id < 1 || int(id) > len(f.agents) {
		return detector.Record{}, false
	}
	return f.agents[id-1], true
}

func (f *testFleet) SetSilenced(changes []detector.Silenced) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes += len(changes)
	for _, c := range changes {
		switch {
		case int(c.ID) <= len(f.agents):
			f.agents[c.ID-1].Silenced = c.On
		case c.On:
			f.later[c.ID] = true
		default:
			delete(f.later, c.ID)
		}
	}
}

// removeAgents removes the agents behind the first n, as the detector does.
func (f *testFleet) removeAgents(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.agents[n:] {
		if r.Silenced {
			f.later[r.ID] = true
		}
	}
	f.agents = f.agents[:n]
}

// countLater returns how many agents will be silenced when they are there.
func (f *testFleet) countLater() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.later)
}

// countLooked returns how many agents were read.
func (f *testFleet) countLooked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looked
}

// setAgent changes what is known of an agent.
func (f *testFleet) setAgent(id detector.AgentID, change func(*detector.Record)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.agents[id-1])
}

// silenced returns the ids of the silenced agents, as text.
func (f *testFleet) silenced() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for i := range f.agents {
		if f.agents[i].Silenced {
			ids = append(ids, f.agents[i].ID.String())
		}
	}
	return strings.Join(ids, " ")
}

// testNode is a silencer that runs, with a clock that can be set. It is used in a bubble of
// synctest.
type testNode struct {
	*Silencer
	t     *testing.T
	fleet *testFleet
	path  string
	set   atomic.Int64 // by how much the clock was set, in nanoseconds
	stop  func()

	mu        sync.Mutex
	records   []string
	postponed map[string]func() error
	logged    strings.Builder
}

func newTestNode(t *testing.T, agents int) *testNode {
	t.Helper()
	n := &testNode{t: t, fleet: newTestFleet(agents), path: filepath.Join(t.TempDir(), "silences.json"), postponed: map[string]func() error{}}
	return n
}

// start starts the silencer, with silences of the settings.
func (n *testNode) start(settings ...silence.Silence) {
	n.Silencer = Open(n.config(settings...))
	done := make(chan struct{})
	ctx, cancel := newContext()
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	n.stop = func() { cancel(); <-done }
	synctest.Wait()
}

func (n *testNode) config(settings ...silence.Silence) Config {
	return Config{Node: "node01", Path: n.path, Fleet: n.fleet, Settings: settings, Now: func() time.Time { return time.Now().Add(time.Duration(n.set.Load())) },
		Record: func(c Change, s *silence.Silence, peer string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			e := s.Entry()
			n.records = append(n.records, strings.TrimSpace(fmt.Sprintf("%s %s (%s) by %s%s %s", c, s.ID, e.Selects(), s.By, s.EndedBy, peer)))
		},
		Postpone: func(_ error, write func() error) { n.postponed["silences"] = write },
		Log:      slog.New(slog.NewTextHandler(&n.logged, nil))}
}

func (n *testNode) add(r silence.Request) silence.Added {
	n.t.Helper()
	if r.By == "" {
		r.By = "alice"
	}
	added, err := n.Add(n.t.Context(), &r, "127.0.0.1:5")
	if err != nil {
		n.t.Fatal(err)
	}
	return added
}

// setClock sets the clock, and waits until that is noticed.
func (n *testNode) setClock(by time.Duration) {
	n.set.Store(int64(by))
	time.Sleep(ClockPeriod)
	synctest.Wait()
}

func (n *testNode) wantSilenced(want string) {
	n.t.Helper()
	synctest.Wait()
	if got := n.fleet.silenced(); got != want {
		n.t.Errorf("silenced are %q, want %q", got, want)
	}
	if f := n.Figures(); f.Agents != len(strings.Fields(want)) {
		n.t.Errorf("%d agents are counted as silenced", f.Agents)
	}
}

func (n *testNode) takeRecords() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer func() { n.records = nil }()
	return n.records
}

func (n *testNode) wantRecords(want ...string) {
	n.t.Helper()
	if got := n.takeRecords(); !slices.Equal(got, want) {
		n.t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func states(l silence.List) string {
	m := map[string]silence.State{}
	for _, s := range l.Silences {
		m[s.ID] = s.State
	}
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, id+" "+string(m[id]))
	}
	return strings.Join(parts, ", ")
}
