package managersim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// The recordings of rows are of two managers of 5.0 and four agents of 5 at each. The tests
// do to simulated agents and a simulated manager what was done to the real ones, at the same
// instants of a clock of their own, and compare how the rows move.

// recordedRow is a change of a row: of each column its value before and after.
type recordedRow struct {
	Time    string
	ID      int
	Changed map[string][2]any
}

// move is one change of an agent's status.
type move struct {
	at       float64 // Unix seconds
	from, to string
	code     int // afterwards
}

func (v move) String() string {
	return fmt.Sprintf("%.1f %s to %s, code %d", v.at, v.from, v.to, v.code)
}

func readLines[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata/wazuh5", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for d := json.NewDecoder(file); ; {
		var l T
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func secondsOf(t *testing.T, text string) float64 {
	t.Helper()
	at, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// scene is a simulated manager of 5 without sockets, its agents, and what is done to them.
type scene struct {
	t      *testing.T
	m      *Manager
	began  time.Time
	base   float64 // Unix seconds of its begin
	until  float64
	agents map[int]*agentsim.Fleet
	work   sync.WaitGroup
	ctx    context.Context

	down  atomic.Bool       // remoted
	gates map[string][]gate // by agent
	steps []step
	look  func() // after each step
}

// gate is the time from a restart of remoted until an agent came back. An agent that could not
// reach remoted tries again after a random time: the simulated ones wait for the recorded one.
type gate struct{ from, to float64 }

// step is something that was done.
type step struct {
	at float64
	do func()
}

func (s *scene) add(at float64, do func()) {
	if at < s.until {
		s.steps = append(s.steps, step{at, do})
	}
}

func (s *scene) now() float64 { return s.base + time.Since(s.began).Seconds() }

// newScene returns a scene that begins and ends at the given instants.
func newScene(t *testing.T, base, until float64, cfg Config) *scene {
	s := &scene{t: t, began: time.Now(), base: base, until: until, agents: make(map[int]*agentsim.Fleet)}
	cfg.Version, cfg.Now = "v5.0.0", func() int64 { return int64(s.now()) }
	m := &Manager{cfg: cfg.withDefaults()}
	m.remoted.Manager, m.wazuhDB.Manager, m.control.Manager, m.monitord.Manager = m, m, m, m
	var err error
	if m.store, err = openStore(":memory:", m.cfg.Now, wazuh5); err != nil {
		t.Fatal(err)
	}
	m.store.commits.age = int64(m.cfg.Wazuh5.Commit / time.Second)
	m.control.forgetWrites()
	s.m = m
	return s
}

// send is the way of an agent's message to remoted.
func (s *scene) send(agent string, message []byte) (int, error) {
	now := s.now()
	if s.down.Load() || slices.ContainsFunc(s.gates[agent], func(g gate) bool { return now >= g.from && now < g.to }) {
		return 0, io.ErrUnexpectedEOF
	}
	s.m.control.hang.waitWhileStalled(nil)
	return s.m.HandleControl(agent, message), nil
}

// startRemoted does what remoted does when it starts.
func (s *scene) startRemoted() {
	s.do("reset-agents-connection " + synced)
	s.m.control.forgetWrites()
	s.down.Store(false)
}

func (s *scene) do(command string) {
	if _, err := s.m.store.runCommand(command); err != nil {
		s.t.Error(command, err)
	}
}

func (s *scene) startAgent(id int) {
	var err error
	key := recordedKeysOf5(s.t)
	key = slices.DeleteFunc(key, func(k clientkeys.Key) bool { return k.ID != strconv.Itoa(id) })
	if s.agents[id], err = agentsim.New(agentsim.Config{Keys: key, Retry: time.Second, Wazuh5: agentsim.Config5{On: true, Send: s.send}}); err != nil {
		s.t.Error(err)
		return
	}
	f := s.agents[id]
	s.work.Go(func() { _ = f.Run(s.ctx) })
}

func (s *scene) fail(id int, how agentsim.Failure) { s.check(s.agents[id].Fail(strconv.Itoa(id), how)) }
func (s *scene) revive(id int)                     { s.check(s.agents[id].Revive(strconv.Itoa(id))) }
func (s *scene) check(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

func (s *scene) writeLoss(id int) {
	s.do(fmt.Sprintf(`update-connection-status {"id":%d,"connection_status":"disconnected","sync_status":"synced","status_code":4}`, id))
}

var namedAgent = regexp.MustCompile(`agent (102[4-7])|living (102[4-7]) \(5`)

// addAction adds what a line of the recorded actions says.
func (s *scene) addAction(at float64, did string) {
	if f := namedAgent.FindStringSubmatch(did); f != nil {
		id, _ := strconv.Atoi(f[1] + f[2])
		how := map[string]func(){
			"kill -9": func() { s.fail(id, agentsim.Kill) }, "SIGSTOP": func() { s.fail(id, agentsim.Hang) },
			"SIGTERM": func() { s.fail(id, agentsim.Shutdown) }, "SIGCONT": func() { s.revive(id) }, "start a": func() { s.revive(id) },
			"update-": func() { s.writeLoss(id) }, "again d": func() { s.writeLoss(id) },
		}[did[:7]]
		if how == nil {
			s.t.Errorf("%q", did)
			return
		}
		s.add(at, how)
		if strings.Contains(did, "started again 3 s later") {
			s.add(at+3.2, func() { s.revive(id) })
		}
		return
	}
	stop := func() { s.down.Store(true) }
	switch {
	case strings.HasPrefix(did, "SIGTERM remoted"), strings.HasPrefix(did, "kill -9 remoted"):
		s.add(at, stop)
	case strings.HasSuffix(did, "control_keepalive_throttle=10"): // it could not bind its port
		s.add(at, stop)
		s.add(at, func() { s.m.cfg.Wazuh5.Throttle = 10 * time.Second })
	case strings.HasPrefix(did, "remoted restarted with <legacy>"):
		s.add(at, stop)
		s.add(at+2.5, s.startRemoted)
	case strings.Contains(did, "start remoted"):
		s.add(at+0.1, s.startRemoted)
	case did == "SIGSTOP remoted":
		s.add(at, s.m.HangRemoted)
	case did == "SIGCONT remoted":
		s.add(at, s.m.ResumeRemoted)
	case did == "kill -9 wazuh-db":
		s.add(at, func() { s.check(s.m.KillDB()) })
	case did == "start wazuh-db":
		s.add(at, func() { s.m.wazuhDB.lost.Store(false) })
	}
}

// run does all steps and returns how the rows moved, and when each agent's
// keep-alives were written.
func (s *scene) run() (moves map[int][]move, writes map[int][]int64) {
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	slices.SortStableFunc(s.steps, func(a, b step) int { return int(math.Copysign(1, a.at-b.at)) })
	moves, writes = make(map[int][]move), make(map[int][]int64)
	was := make(map[int]Agent)
	s.look = func() {
		if s.m.wazuhDB.lost.Load() {
			return // nobody could read it
		}
		for id := 1024; id <= 1027; id++ {
			is, err := s.m.Agent(id)
			s.check(err)
			if before, has := was[id]; has && is.Status != before.Status {
				moves[id] = append(moves[id], move{s.now(), before.Status, is.Status, is.Code})
			}
			if is.KeepAlive != was[id].KeepAlive {
				writes[id] = append(writes[id], is.KeepAlive)
			}
			was[id] = is
		}
	}
	s.look()
	for steps := s.steps; s.now() < s.until; {
		for len(steps) > 0 && steps[0].at <= s.now() {
			steps[0].do()
			s.look()
			steps = steps[1:]
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		s.look()
	}
	s.m.ResumeRemoted()
	cancel()
	s.work.Wait()
	s.check(s.m.store.db.Close())
	return moves, writes
}

// recordedMoves returns how the rows of a recording moved.
func recordedMoves(t *testing.T, rows []recordedRow, until float64) (moves map[int][]move) {
	t.Helper()
	moves = make(map[int][]move)
	codes := make(map[int]int)
	for _, r := range rows {
		at := secondsOf(t, r.Time)
		if code, has := r.Changed["status_code"]; has {
			codes[r.ID] = int(code[1].(float64))
		}
		if status, has := r.Changed["connection_status"]; has && at < until {
			moves[r.ID] = append(moves[r.ID], move{at, status[0].(string), status[1].(string), codes[r.ID]})
		}
	}
	return moves
}

// findGates returns from when to when agents were away because remoted was.
func findGates(recorded map[int][]move) map[string][]gate {
	all := make(map[string][]gate)
	for id, moves := range recorded {
		for i, v := range moves[:len(moves)-1] {
			if v.to == "disconnected" && v.code == 5 {
				all[strconv.Itoa(id)] = append(all[strconv.Itoa(id)], gate{v.at - 1, moves[i+1].at - 0.3})
			}
		}
	}
	return all
}

// checkMoves compares how rows moved with the recording. Every change must be there, in order, and
// within some time of the recorded one.
func checkMoves(t *testing.T, got, want map[int][]move, tolerance func(want move) float64) {
	t.Helper()
	for id, all := range want {
		for i, w := range all {
			if i >= len(got[id]) {
				t.Errorf("agent %d: %v is missing", id, w)
				break
			}
			g := got[id][i]
			if g.from != w.from || g.to != w.to || g.code != w.code || math.Abs(g.at-w.at) > tolerance(w) {
				t.Errorf("agent %d, change %d: %v, recorded %v", id, i, g, w)
				break
			}
		}
		if len(got[id]) > len(all) {
			t.Errorf("agent %d: %v was not recorded", id, got[id][len(all)])
		}
	}
}

// addAgents starts each agent when its first row moved.
func (s *scene) addAgents(rows []recordedRow) {
	tx, err := s.m.store.db.Begin()
	s.check(err)
	s.check(addRowsOf5(tx, recordedKeysOf5(s.t)))
	for _, r := range rows {
		if r.Changed["connection_status"][0] == "never_connected" {
			s.add(secondsOf(s.t, r.Time)-0.2, func() { s.startAgent(r.ID) })
		}
	}
}

func TestRowsOf5MoveAsRecordedThroughKillsRestartsAndLosses(t *testing.T) {
	rows, actions := readLines[recordedRow](t, "short-rows.jsonl"), readLines[struct{ Time, Did string }](t, "short-actions.jsonl")
	const (
		pulseFrom, pulseTo = 1795888709, 1795888831 // another program wrote losses
		firstSweep         = 1795888231.5           // monitord's, each 100 s
		asWorker           = 1795889158
	)
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, secondsOf(t, rows[0].Time)-1, asWorker, Config{DisconnectionAge: 100 * time.Second})
		recordedAll := recordedMoves(t, rows, asWorker)
		s.gates = findGates(recordedAll)
		s.m.store.commits.last = 1795888006 // its commits, each minute: the recorded roll-back shows it
		s.addAgents(rows)
		for _, a := range actions {
			s.addAction(secondsOf(t, a.Time), a.Did)
		}
		for _, r := range rows {
			if at := secondsOf(t, r.Time); at > pulseFrom && at < pulseTo && r.Changed["connection_status"][1] == "disconnected" {
				s.add(at-0.1, func() { s.writeLoss(r.ID) })
			}
		}
		for at := firstSweep; at < asWorker; at += 100 {
			s.add(at, func() { s.check(s.m.Sweep()) })
		}
		moves, writes := s.run()
		checkMoves(t, moves, recordedAll, func(w move) float64 {
			switch {
			case w.to == "disconnected":
				return 1.5
			case w.at > pulseTo: // in the outage of wazuh-db, answers to notifies were seconds late
				return 12
			}
			return 2.5
		})
		checkStandstill(t, writes[1026])
	})
}

// checkStandstill checks that after the death of wazuh-db a living agent's keep-alive stood still
// for about two throttles, as recorded (125 s).
func checkStandstill(t *testing.T, writes []int64) {
	t.Helper()
	for i := range writes[1:] {
		if step := writes[i+1] - writes[i]; writes[i] > 1795888760 && writes[i] < 1795888800 {
			if step < 118 || step > 132 {
				t.Errorf("%d s after %d, recorded were 125", step, writes[i])
			}
			return
		}
	}
	t.Errorf("no write before the death of wazuh-db: %v", writes)
}

func TestRowsOf5MoveAsRecordedWithTheSettingsAsShipped(t *testing.T) {
	rows, actions := readLines[recordedRow](t, "default-rows.jsonl"), readLines[struct{ Time, Did string }](t, "default-actions.jsonl")
	synctest.Test(t, func(t *testing.T) {
		const until = 1795889500
		s := newScene(t, secondsOf(t, rows[0].Time)-1, until, Config{})
		s.addAgents(rows)
		for _, a := range actions {
			at, did := secondsOf(t, a.Time), a.Did
			switch {
			case strings.Contains(did, "behind the recording proxy"): // which lost what it said
				did = strings.Replace(did, "SIGTERM", "kill -9", 1)
			case strings.Contains(did, "behind a new"): // it was ended before
				s.add(at-0.3, func() { s.fail(1024, agentsim.Kill) })
			}
			s.addAction(at, did)
		}
		s.add(1795889431, func() { s.revive(1024) }) // once more
		s.add(1795889670.5, func() { s.check(s.m.Sweep()) })
		moves, _ := s.run()
		checkMoves(t, moves, recordedMoves(t, rows, until), func(w move) float64 { return 12 })
	})
}

func TestAStartOf5WhileWazuhDBIsDownIsRefusedAndANotifyIsLost(t *testing.T) {
	m := start5(t)
	if err := m.KillDB(); err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]int{
		`{"type":"startup","version":"v5.0.0"}`: http.StatusInternalServerError, `{"type":"notify","host":{}}`: http.StatusOK,
		`{"type":"startup"}`: http.StatusBadRequest, `nonsense`: http.StatusBadRequest, `{"type":"nonsense"}`: http.StatusBadRequest,
	} {
		if got := m.HandleControl("1024", []byte(message)); got != want {
			t.Errorf("%s: %d", message, got)
		}
	}
	if err := m.StartDB(); err != nil {
		t.Fatal(err)
	}
	if a := status(t, m, 1024); a.Status != "never_connected" {
		t.Errorf("%+v", a)
	}
}
