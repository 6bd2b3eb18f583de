package managersim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/relay"
)

// simulated is a cluster of three managers behind a balancer, with agents. What clusterd does
// happens when a test says so.
type simulated struct {
	*Fleet
	t        *testing.T
	balancer *relay.Balancer
}

func startSimulated(t *testing.T, agents int, to string, change ...func(*FleetConfig)) *simulated {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := FleetConfig{Dir: dir, Nodes: []string{"m", "w1", "w2"}, Keys: keysOf(agents), Sync: -1, Integrity: -1}
	for _, f := range change {
		f(&cfg)
	}
	s := &simulated{t: t}
	if s.Fleet, err = StartFleet(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	var nodes []relay.Node
	for _, name := range cfg.Nodes {
		nodes = append(nodes, relay.Node{Name: name, Addr: s.Manager(name).AgentAddr().String()})
	}
	if s.balancer, err = relay.StartBalancer(nodes...); err != nil {
		t.Fatal(err)
	}
	s.balancer.SetRoute("", to)
	t.Cleanup(s.balancer.Close)
	f, err := agentsim.New(agentsim.Config{Manager: s.balancer.Addr(), Keys: cfg.Keys, Notify: 100 * time.Millisecond, Retry: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	s.await(to, "all agents are there", func(a Agent) bool { return a.Status == "active" && a.Node == to })
	return s
}

// await waits until it holds for agent 1 at a node.
func (s *simulated) await(node, what string, holds func(Agent) bool) {
	s.t.Helper()
	m := s.Manager(node)
	until(s.t, m, fmt.Sprintf("%s: %s", node, what), func() bool { return holds(status(s.t, m, 1)) })
}

func (s *simulated) sync(node string) {
	s.t.Helper()
	if err := s.SyncAgents(node); err != nil {
		s.t.Fatal(err)
	}
}

// move has all agents of a node connect to another one.
func (s *simulated) move(from, to string) {
	s.t.Helper()
	s.balancer.SetRoute("", to)
	if s.balancer.CutNode(from) == 0 {
		s.t.Fatalf("no connection to %s", from)
	}
	s.await(to, "the agent is there", func(a Agent) bool { return a.Status == "active" && a.Node == to })
}

func TestTheMasterLearnsOfAMoveWithTheNextRoundOfTheNewNode(t *testing.T) {
	s := startSimulated(t, 2, "w1")
	if a := status(t, s.Master(), 1); a.Status != "never_connected" {
		t.Errorf("before: %+v", a)
	}
	s.sync("w1")
	if a := status(t, s.Master(), 1); a.Status != "active" || a.Node != "w1" {
		t.Errorf("on w1: %+v", a)
	}
	s.move("w1", "w2")
	if a := status(t, s.Master(), 1); a.Node != "w1" {
		t.Errorf("without a round: %+v", a)
	}
	s.sync("w1") // the keep-alives that it had
	if a := status(t, s.Manager("w1"), 1); a.Status != "active" || a.Node != "w1" {
		t.Errorf("a worker is never told of agents of others: %+v", a)
	}
	s.sync("w2")
	if a := status(t, s.Master(), 1); a.Status != "active" || a.Node != "w2" {
		t.Errorf("on w2: %+v", a)
	}
}

func TestAKeepAliveOfAWorkerHasTheMastersTimeAndNoNode(t *testing.T) {
	now := int64(1_000_000)
	var mu sync.Mutex
	s := startSimulated(t, 1, "w1", func(cfg *FleetConfig) {
		cfg.Manager.Now = func() int64 { mu.Lock(); defer mu.Unlock(); return now }
	})
	s.sync("w1")
	mu.Lock()
	now += 500
	mu.Unlock()
	if err := s.Master().Exec(`UPDATE agent SET node_name = 'w2', connection_status = 'disconnected', status_code = 4`); err != nil {
		t.Fatal(err)
	}
	s.await("w1", "a keep-alive waits for the master", func(a Agent) bool { return a.Sync == "syncreq_keepalive" })
	s.sync("w1")
	if a := status(t, s.Master(), 1); a.Status != "active" || a.Node != "w2" || a.KeepAlive != 1_000_500 || a.Code != 0 {
		t.Errorf("%+v", a)
	}
}

func TestARoundThatIsLostLeavesTheNodeWrong(t *testing.T) {
	s := startSimulated(t, 1, "w1")
	s.sync("w1")
	s.move("w1", "w2")
	s.LoseSyncs("w2", 1)
	if err := s.SyncAgents("w2"); !errors.Is(err, errRound) {
		t.Fatal(err)
	}
	s.await("w2", "a keep-alive waits for the master", func(a Agent) bool { return a.Sync == "syncreq_keepalive" })
	s.sync("w2")
	if a := status(t, s.Master(), 1); a.Status != "active" || a.Node != "w1" {
		t.Errorf("%+v", a)
	}
}

// The old node's row was not sent before the agent left it.
func TestTheLastWriterWins(t *testing.T) {
	s := startSimulated(t, 1, "w1")
	s.SetCut("w1", true)
	if err := s.SyncAgents("w1"); !errors.Is(err, errRound) {
		t.Fatal(err)
	}
	s.move("w1", "w2")
	s.sync("w2")
	s.SetCut("w1", false)
	s.sync("w1")
	if a := status(t, s.Master(), 1); a.Node != "w1" {
		t.Errorf("%+v", a)
	}
}

func TestWhatDaemonsOfAWorkerMarkByThemselvesStaysThere(t *testing.T) {
	s := startSimulated(t, 1, "w1", func(cfg *FleetConfig) { cfg.Manager.DisconnectionAge = time.Hour })
	s.sync("w1")
	s.Manager("w1").StopRemoted()
	if err := s.Manager("w1").Exec(`UPDATE agent SET sync_status = 'synced'`); err != nil {
		t.Fatal(err)
	}
	s.balancer.SetRoute("", "m")
	if err := s.Manager("w1").StartRemoted(); err != nil {
		t.Fatal(err)
	}
	if a := status(t, s.Manager("w1"), 1); a.Status != "disconnected" || a.Code != 5 || a.Sync != "synced" {
		t.Errorf("%+v", a)
	}
	s.await("m", "the agent is there", func(a Agent) bool { return a.Status == "active" && a.Node == "m" })
	s.sync("w1")
	if a := status(t, s.Master(), 1); a.Status != "active" || a.Node != "m" {
		t.Errorf("%+v", a)
	}
}

func TestWorkersTakeOverTheKeysOfTheMaster(t *testing.T) {
	s := startSimulated(t, 2, "w1")
	if err := s.Master().Remove("002"); err != nil {
		t.Fatal(err)
	}
	if err := s.Master().Enrol(keysOf(3)[2]); err != nil {
		t.Fatal(err)
	}
	if err := s.SyncKeys("w1"); err != nil {
		t.Fatal(err)
	}
	if a := status(t, s.Manager("w1"), 3); a.Status != "never_connected" {
		t.Errorf("%+v", a)
	}
	if a, err := s.Manager("w1").Agent(2); err == nil {
		t.Errorf("%+v is left", a)
	}
}

func TestAWorkerAsksTheMastersDatabaseThroughItsOwnClusterd(t *testing.T) {
	s := startSimulated(t, 1, "w1")
	s.sync("w1")
	const request = `{"daemon_name":"wazuh-db","message":"global sql SELECT id, node_name, connection_status FROM agent WHERE id IN (1)"}`
	asked := func(node string) (verb, answer string) {
		conn, err := net.Dial("unix", filepath.Join(s.Manager(node).Home(), "queue/cluster/c-internal.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write(appendClusterFrame(nil, 77, "sendsync", []byte(request))); err != nil {
			t.Fatal(err)
		}
		counter, verb, payload, err := readClusterFrame(conn)
		if err != nil || counter != 77 {
			t.Fatalf("%d, %v", counter, err)
		}
		return verb, string(payload)
	}
	for _, node := range []string{"m", "w1", "w2"} {
		if verb, answer := asked(node); verb != "ok" || !strings.Contains(answer, `"node_name":"w1"`) {
			t.Errorf("%s: %s %s", node, verb, answer)
		}
	}
	s.SetCut("w2", true)
	if verb, answer := asked("w2"); verb != "err" || !strings.Contains(answer, "3023") {
		t.Errorf("cut off: %s %s", verb, answer)
	}
}

func TestANodeDiesAndComesBackWithItsAgents(t *testing.T) {
	s := startSimulated(t, 1, "w1", func(cfg *FleetConfig) {
		cfg.Sync, cfg.Integrity = 20*time.Millisecond, 20*time.Millisecond
		cfg.Transfer = func() time.Duration { return time.Millisecond }
	})
	s.await("m", "it knows where the agent is", func(a Agent) bool { return a.Node == "w1" && a.Status == "active" })
	s.StopNode("w1")
	before := status(t, s.Master(), 1)
	if err := s.SyncAgents("w1"); !errors.Is(err, errRound) {
		t.Error(err)
	}
	if a := status(t, s.Master(), 1); a.Status != "active" || a.KeepAlive != before.KeepAlive {
		t.Errorf("%+v", a)
	}
	if err := s.StartNode("w1"); err != nil {
		t.Fatal(err)
	}
	s.await("w1", "the agent is back", func(a Agent) bool { return a.Status == "active" })
	s.await("m", "it knows that", func(a Agent) bool { return a.Status == "active" && a.KeepAlive > before.KeepAlive })
}
