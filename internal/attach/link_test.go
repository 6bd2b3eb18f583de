package attach

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// Every kind of death is told as what it is, and the manager's database and alerts
// follow where the manager does not know yet.
func TestDeathsAreToldAsWhatTheyAreAndTheManagerKnowsToo(t *testing.T) {
	for _, c := range []struct {
		how     agentsim.Failure
		polls   bool // the kernel announces nothing
		reason  detector.Reason
		code    int
		written int
	}{
		{agentsim.Kill, false, detector.ConnectionLost, 4, 1},
		{agentsim.Kill, true, detector.ConnectionLost, 4, 1},
		{agentsim.Hang, false, detector.MissedKeepAlives, 4, 1},
		{agentsim.Shutdown, false, detector.AgentShutdown, 3, 0},
	} {
		t.Run(c.how.String(), func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 3)
			s.connectAgents()
			s.startLink(quickSettings, func(cfg *Config) { cfg.polls = c.polls })
			s.waitForCount(detector.Active, 3)
			s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged && d.ID == 2 })
			s.dropDecisions()
			if err := s.agents.Fail("002", c.how); err != nil {
				t.Fatal(err)
			}
			if got := s.waitForChange(2, detector.Disconnected); got.Reason != c.reason || got.IP != "127.0.0.1" {
				t.Errorf("%+v", got)
			}
			s.waitUntil("marked at the manager", func() bool {
				row, err := s.manager.Agent(2)
				return err == nil && row.Status == "disconnected" && row.Code == c.code && row.Sync == "synced" && len(s.manager.Events()) == c.written
			})
			if c.written > 0 {
				if got := s.manager.Events()[0]; got != "1:[002] (web-002) any->wazuh-monitord:ossec: Agent disconnected: 'web-002-any'." {
					t.Errorf("event %q", got)
				}
			}
			s.dropDecisions()
			if err := s.agents.Revive("002"); err != nil {
				t.Fatal(err)
			}
			if got := s.waitForChange(2, detector.Active); got.Reason != detector.Reconnected {
				t.Errorf("%+v", got)
			}
			s.waitUntil("active at the manager", func() bool { row, err := s.manager.Agent(2); return err == nil && row.Status == "active" })
			if writes := s.manager.Writes(); len(writes) != c.written {
				t.Errorf("written: %q", writes)
			}
			if got := s.link.Stats(); got.Announced == c.polls || got.Problem != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A restart of remoted closes all connections, and it calls all agents
// disconnected; but they are back before anybody could call them lost.
func TestARestartOfRemotedIsNoOutage(t *testing.T) {
	t.Parallel()
	s := startManager(t, 40)
	s.connectAgents()
	set := quickSettings
	set.OutageShare, set.OutageHold = 0.3, time.Second
	s.startLink(set)
	s.waitForCount(detector.Active, 40)
	s.dropDecisions()
	s.manager.StopRemoted()
	s.waitForLog("wazuh-remoted cannot be used: waiting for it")
	s.waitUntil("called by its name, with the way out", func() bool {
		got := s.link.Stats().Problem
		return strings.Contains(got, "wazuh-remoted is not running") && strings.Contains(got, "systemctl start wazuh-manager")
	})
	if err := s.manager.StartRemoted(); err != nil {
		t.Fatal(err)
	}
	s.waitUntil("agents back", func() bool { all, err := s.manager.Statuses(); return err == nil && all["active"] == 40 })
	s.waitForLog("wazuh-remoted is there again")
	s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged })
	if got := s.listChanges(); len(got) != 0 {
		t.Errorf("%d changes, the first %+v", len(got), got[0])
	}
	if writes, events := s.manager.Writes(), s.manager.Events(); len(writes)+len(events) != 0 {
		t.Errorf("written %q, raised %q", writes, events)
	}
}

// The same when it is so quick that nobody finds its socket closed.
func TestAnUnseenRestartIsNoOutageEither(t *testing.T) {
	t.Parallel()
	s := startManager(t, 40)
	s.connectAgents()
	s.startLink(quickSettings)
	s.waitForCount(detector.Active, 40)
	s.dropDecisions()
	s.manager.StopRemoted()
	if err := s.manager.StartRemoted(); err != nil {
		t.Fatal(err)
	}
	s.waitUntil("agents back", func() bool { all, err := s.manager.Statuses(); return err == nil && all["active"] == 40 })
	s.waitForLog("has been restarted")
	if got := s.listChanges(); len(got) != 0 {
		t.Errorf("%d changes, the first %+v", len(got), got[0])
	}
}

func TestWithoutTheDatabaseAgentsAnswerForThemselves(t *testing.T) {
	t.Parallel()
	s := startManager(t, 3)
	s.connectAgents()
	s.startLink(quickSettings)
	s.waitForCount(detector.Active, 3)
	s.manager.StopDB()
	s.waitForLog("wazuh-db cannot be used")
	s.dropDecisions()
	for range 5 {
		s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged })
		s.dropDecisions()
	}
	if err := s.agents.Fail("003", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	s.waitForChange(3, detector.Disconnected)
	if got := s.listChanges(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if err := s.manager.StartDB(); err != nil {
		t.Fatal(err)
	}
	s.waitForLog("wazuh-db is there again")
	s.waitUntil("the loss written, now that it can be", func() bool { return len(s.manager.Events()) == 1 && len(s.manager.Writes()) == 1 })
}

// Whatever a socket does, no live agent is called lost, and when it is well
// again, so is all.
func TestASocketThatMisbehavesKillsNobody(t *testing.T) {
	for _, socket := range []managersim.Socket{managersim.RequestSocket, managersim.DatabaseSocket} {
		for kind := managersim.Silent; kind <= managersim.Garbled; kind++ {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				s := startManager(t, 3, func(c *managersim.Config) { c.ResponseTimeout = time.Second })
				s.connectAgents()
				set := quickSettings
				set.RetryInterval = 5 * time.Second // as with the defaults, where trouble is seen within 7 s: before the third miss
				s.startLink(set)
				s.waitForCount(detector.Active, 3)
				s.waitForLog("attached")
				s.dropDecisions()
				s.manager.Misbehave(socket, managersim.Fault{Kind: kind})
				s.waitForLog("cannot be used")
				s.manager.Misbehave(socket, managersim.Fault{})
				s.waitForDecision("answer", func(d *detector.Decision) bool { return d.Verdict == detector.Acknowledged })
				if got := s.listChanges(); slices.ContainsFunc(got, isLost) {
					t.Errorf("%+v", got)
				}
				if writes := s.manager.Writes(); len(writes) != 0 {
					t.Errorf("written %q", writes)
				}
			})
		}
	}
}

// Hung agents keep remoted's threads, but no more of them than they may, and
// whoever else asks remoted is served.
func TestHungAgentsNeverTakeMoreThanTheirShare(t *testing.T) {
	t.Parallel()
	const agents, hung, pool = 60, 40, 64
	s := startManager(t, agents, func(c *managersim.Config) { c.RequestPool = pool })
	s.connectAgents()
	s.startLink(quickSettings)
	s.waitForCount(detector.Active, agents)
	s.waitForLog("attached to wazuh-remoted request_pool=64 max_in_flight=16")
	for _, k := range keysFor(hung) {
		if err := s.agents.Fail(k.ID, agentsim.Hang); err != nil {
			t.Fatal(err)
		}
	}
	s.waitUntil("as many out as may be to agents in doubt", func() bool { return s.manager.Stats().InFlight >= pool/poolShare/2 })
	for range 20 {
		if answer := askAs(t, s.manager.Home(), "060 agent getstate"); !strings.Contains(answer, "connected") {
			t.Errorf("another client is answered %q", answer)
		}
	}
	if got := s.manager.Stats(); got.MostInFlight > pool/poolShare+1 { // one is the other client's
		t.Errorf("%d requests at once", got.MostInFlight)
	}
	if got := s.link.Stats(); got.MostInFlight > pool/poolShare {
		t.Errorf("%+v", got)
	}
}

// askAs sends remoted a request as another program does, and returns the answer.
func askAs(t testing.TB, home, text string) string {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(home, "queue/sockets/remote"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		t.Fatal(err)
	}
	answer, err := wazuhsock.ReadFrame(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestTheInventoryFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	s := startManager(t, 3)
	s.connectAgents()
	patient := quickSettings
	patient.MaxMissed = 100 // nobody is lost for its silence, however busy the machine is
	s.startLink(patient)
	s.waitForCount(detector.Active, 3)
	s.dropDecisions()
	keys := keysFor(5)
	if err := s.manager.Enrol(keys[3], keys[4]); err != nil {
		t.Fatal(err)
	}
	s.waitForCount(detector.NeverConnected, 2)
	if stats := s.manager.Stats(); stats.DBClients != 1 || stats.Queries < 4 {
		t.Errorf("%d connections to wazuh-db for %d queries, want one for all", stats.DBClients, stats.Queries)
	}
	if err := s.manager.Remove("002"); err != nil {
		t.Fatal(err)
	}
	if got := s.waitForChange(2, detector.Disconnected); got.Reason != detector.AgentRemoved {
		t.Errorf("%+v", got)
	}
	if writes := s.manager.Writes(); len(writes) != 0 {
		t.Errorf("written: %q", writes)
	}
}

// In a cluster, an agent that reports to another node has moved, and is not dead.
func TestInAClusterAMoveIsNoDeath(t *testing.T) {
	t.Parallel()
	s := startManager(t, 4, func(c *managersim.Config) { c.Cluster = managersim.Cluster{Node: "west's"} })
	s.connectAgents()
	if err := s.manager.Exec("UPDATE agent SET node_name = 'east' WHERE id = 4"); err != nil {
		t.Fatal(err)
	}
	s.startLink(quickSettings, func(c *Config) { c.Cluster = wazuhdb.ClusterRole{Node: "west's"} })
	if said := s.log.linesAbout("<update_status>"); len(said) > 0 {
		t.Errorf("a master is cautioned: %q", said)
	}
	s.waitForCount(detector.Active, 3)
	s.dropDecisions()
	if err := s.manager.Exec("UPDATE agent SET node_name = 'east' WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	if got := s.waitForChange(2, detector.Disconnected); got.Reason != detector.AgentMoved {
		t.Errorf("%+v", got)
	}
}

// What an agent was before anybody watched it is no news.
func TestAtFirstTheDatabaseIsBelieved(t *testing.T) {
	t.Parallel()
	s := startManager(t, 5)
	now := time.Now().Unix()
	for id, set := range map[int]string{
		1: "connection_status = 'active', node_name = 'node01', last_keepalive = " + formatNumber(now),
		2: "connection_status = 'active', node_name = 'node01', last_keepalive = " + formatNumber(now-3600),
		3: "connection_status = 'disconnected', status_code = 3, last_keepalive = " + formatNumber(now-3600),
		4: "connection_status = 'pending', last_keepalive = " + formatNumber(now),
	} {
		if err := s.manager.Exec("UPDATE agent SET "+set+" WHERE id = ?", id); err != nil {
			t.Fatal(err)
		}
	}
	s.startLink(quickSettings, func(c *Config) { c.UpdateStatus = false })
	s.waitForChange(1, detector.Active)
	s.waitForChange(4, detector.Pending)
	for id, want := range map[detector.AgentID]detector.Record{
		2: {Status: detector.Disconnected, Reason: detector.KeepAliveTimeout},
		3: {Status: detector.Disconnected, Reason: detector.AgentShutdown},
		5: {Status: detector.NeverConnected},
	} {
		if got, ok := s.fleet.Agent(id); !ok || got.Status != want.Status || got.Reason != want.Reason {
			t.Errorf("%v is %+v", id, got)
		}
	}
}

func TestKeepAlivesWithoutAnAnswerGoThroughTheQueue(t *testing.T) {
	for _, method := range []detector.Method{detector.Notify, detector.Ack} {
		t.Run(method.String(), func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 2)
			s.connectAgents()
			set := quickSettings
			set.Method = method
			s.startLink(set)
			s.waitForCount(detector.Active, 2)
			s.waitUntil("told", func() bool { return s.manager.Stats().ControlMessages >= 4 && s.link.Stats().Told >= 4 })
			if got := s.link.Stats(); got.NotTold != 0 || got.Problem != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestOpeningSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(dir, "agent")
	if err := os.MkdirAll(filepath.Join(agent, "queue/sockets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for home, want := range map[string]string{
		filepath.Join(dir, "none"): "there is no such directory",
		agent:                      "it has no queue/db/global.db",
	} {
		if _, err := Open(Config{Home: home}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "<pulse><home>") {
			t.Errorf("%s: %v", home, err)
		}
	}
}

func TestADeadlineEndsWithTheContext(t *testing.T) {
	s := startManager(t, 1)
	s.manager.Misbehave(managersim.DatabaseSocket, managersim.Fault{Kind: managersim.Silent})
	db := wazuhdb.NewClient(wazuhsock.Home(s.manager.Home()), wazuhdb.ClusterRole{}, patience)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := db.Query(ctx, "global sql SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An agent that dies while remoted is started anew is marked, with its alert, when its time
// to come back is over: remoted's own mark says only that it was started anew.
func TestAnAgentThatDiesWhileTheManagerRestartsIsMarked(t *testing.T) {
	t.Parallel()
	s := startManager(t, 3)
	s.connectAgents()
	set := quickSettings
	set.Timeout = 10 * time.Second
	s.startLink(set, func(c *Config) { c.restartGrace = 3 * time.Second })
	s.waitForCount(detector.Active, 3)
	s.manager.StopRemoted()
	s.waitForLog("wazuh-remoted cannot be used")
	if err := s.agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	if err := s.manager.StartRemoted(); err != nil {
		t.Fatal(err)
	}
	if row, err := s.manager.Agent(2); err != nil || row.Status != "disconnected" || row.Code != wazuhdb.CodeReset {
		t.Fatalf("after the restart %+v, %v", row, err)
	}
	s.waitForChange(2, detector.Disconnected)
	s.waitUntil("marked, with its alert", func() bool {
		row, err := s.manager.Agent(2)
		return err == nil && row.Status == "disconnected" && row.Code == wazuhdb.CodeNoKeepAlive && len(s.manager.Events()) == 1
	})
	if events := s.manager.Events(); !strings.HasPrefix(events[0], "1:[002] ") {
		t.Errorf("raised %q", events)
	}
}
