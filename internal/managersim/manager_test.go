package managersim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// populate connects simulated agents, and waits until all are active.
func populate(t *testing.T, m *Manager, n int) *agentsim.Fleet {
	t.Helper()
	f, err := agentsim.New(agentsim.Config{Manager: m.AgentAddr().String(), Keys: keysOf(n), Notify: 200 * time.Millisecond, Retry: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	active(t, m, n)
	return f
}

func active(t *testing.T, m *Manager, n int) {
	t.Helper()
	until(t, m, fmt.Sprintf("%d active", n), func() bool {
		all, err := m.Statuses()
		return err == nil && all["active"] == n
	})
}

func TestAnAgentsLifeIsInTheDatabaseAsStockHasIt(t *testing.T) {
	m := start(t, Config{Keys: keysOf(2)})
	if a := status(t, m, 1); a.Status != "never_connected" || a.Node != "unknown" {
		t.Errorf("before: %+v", a)
	}
	f := populate(t, m, 2)
	if a := status(t, m, 1); a.Node != "node01" || a.Code != 0 || time.Since(time.Unix(a.KeepAlive, 0)) > patience || a.Sync != "synced" {
		t.Errorf("active: %+v", a)
	}

	for agent, how := range map[string]agentsim.Failure{"001": agentsim.Kill, "002": agentsim.Shutdown} {
		if err := f.Fail(agent, how); err != nil {
			t.Fatal(err)
		}
	}
	until(t, m, "disconnected by its own word", func() bool { return status(t, m, 2).Status == "disconnected" })
	until(t, m, "without connections", func() bool { return m.Stats().Agents == 0 })
	if a := status(t, m, 2); a.Code != 3 || a.Parted == 0 {
		t.Errorf("shut down: %+v", a)
	}
	if a := status(t, m, 1); a.Status != "active" {
		t.Errorf("a closed connection changed the status: %+v", a)
	}

	for _, agent := range []string{"001", "002"} {
		if err := f.Revive(agent); err != nil {
			t.Fatal(err)
		}
	}
	active(t, m, 2)
	if a := status(t, m, 2); a.Code != 0 || a.Parted != 0 {
		t.Errorf("back: %+v", a)
	}
}

func TestARestartOfRemotedDisconnectsAllAndTheyComeBack(t *testing.T) {
	m := start(t, Config{Keys: keysOf(3)})
	populate(t, m, 3)
	was := m.AgentAddr()
	m.StopRemoted()
	if all, err := m.Statuses(); err != nil || all["active"] != 3 {
		t.Errorf("%v, %v: a remoted that ends marks nobody", all, err)
	}
	_, err := net.Dial("unix", filepath.Join(m.Home(), "queue/sockets/remote"))
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("its socket says %v", err)
	}
	if err := m.StartRemoted(); err != nil {
		t.Fatal(err)
	}
	if m.AgentAddr() != was {
		t.Errorf("it listens on %v, and did on %v", m.AgentAddr(), was)
	}
	if a := status(t, m, 1); a.Code != 5 && a.Status != "pending" && a.Status != "active" {
		t.Errorf("after the start: %+v", a)
	}
	active(t, m, 3)
}

func TestAClientWithoutItsWholeFrameKeepsAllOthersWaiting(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1)})
	for _, sent := range []string{"", "\x12\x00", "\x12\x00\x00\x00001 agent"} {
		idle := dial(t, m, "queue/sockets/remote")
		if _, err := idle.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		other := dial(t, m, "queue/sockets/remote")
		if _, err := other.Write(appendFrame(nil, []byte("001 agent getstate"))); err != nil {
			t.Fatal(err)
		}
		_ = other.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := other.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("behind %q the other client got %v", sent, err)
		}
		_ = idle.Close()
		_ = other.SetReadDeadline(time.Now().Add(patience))
		if got, err := readFrame(other); string(got) != "err Cannot send request" {
			t.Errorf("then it got %q, %v", got, err)
		}
	}
	if longest := m.Stats().LongestFrame; longest < 100*time.Millisecond {
		t.Errorf("the longest wait is %v", longest)
	}
}

func TestASilentAgentHoldsItsThreadAfterTheAskerHasLeft(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1), RequestPool: 2, ResponseTimeout: time.Second})
	f := populate(t, m, 1)
	if err := f.Fail("001", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		conn := dial(t, m, "queue/sockets/remote")
		if _, err := conn.Write(appendFrame(nil, []byte("001 agent getstate"))); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	until(t, m, "full", func() bool { return m.Stats().Requests == 2 })
	if got := ask(t, dial(t, m, "queue/sockets/remote"), `{"command":"bogus"}`); !strings.HasPrefix(got, `{"error":4,`) {
		t.Errorf("got %q", got)
	}
	if s := m.Stats(); s.MostInFlight != 2 || s.TimedOut == 0 {
		t.Errorf("remoted's own command was answered with a full pool: %+v", s)
	}
}

func TestManyRequestsToOneAgentAreAnsweredAtOnce(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1), Backlog: 256}) // or those who come last would be turned away
	populate(t, m, 1)
	var asking sync.WaitGroup
	answers := make([]string, 200)
	for i := range answers {
		conn := dial(t, m, "queue/sockets/remote")
		asking.Go(func() {
			if _, err := conn.Write(appendFrame(nil, []byte("001 agent getstate"))); err == nil {
				text, _ := readFrame(conn)
				answers[i] = string(text)
			}
		})
	}
	asking.Wait()
	for _, text := range answers {
		if !strings.HasPrefix(text, `{"error":0,"data":{"status":"connected"`) {
			t.Fatalf("got %q", text)
		}
	}
	if s := m.Stats(); s.Answered != 200 || s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

func TestASocketMisbehavesAsToldAndRecovers(t *testing.T) {
	const query, good = "global get-agent-info 777", "ok []"
	rest := func(conn net.Conn) (string, error) {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		all, err := io.ReadAll(conn)
		return string(all), err
	}
	for _, tt := range []struct {
		name  string
		fault Fault
		want  string // all bytes
		open  bool   // the connection is, after them
	}{
		{"sound", Fault{}, "\x05\x00\x00\x00" + good, true},
		{"slow", Fault{Delay: time.Millisecond}, "\x05\x00\x00\x00" + good, true},
		{"silent", Fault{Kind: Silent}, "", true},
		{"hung up", Fault{Kind: HungUp}, "", false},
		{"half", Fault{Kind: Half}, "\x05\x00\x00\x00", false},
		{"stalled", Fault{Kind: Stalled}, "\x05\x00\x00\x00", true},
		{"oversized", Fault{Kind: Oversized}, "\xf0\xff\xff\xff" + good, true},
		{"garbled", Fault{Kind: Garbled}, "\x05\x00\x00\x00\x01\x08\x0f\x16\x1d", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := start(t, Config{})
			m.Misbehave(DatabaseSocket, tt.fault)
			conn := dial(t, m, "queue/db/wdb")
			if _, err := conn.Write(appendFrame(nil, []byte(query))); err != nil {
				t.Fatal(err)
			}
			if len(tt.want) > 0 { // wait for the first byte, however long it takes
				first := make([]byte, 1)
				if _, err := io.ReadFull(conn, first); err != nil || first[0] != tt.want[0] {
					t.Fatalf("got %q, %v", first, err)
				}
				tt.want = tt.want[1:]
			}
			if !tt.open {
				_ = conn.SetReadDeadline(time.Now().Add(patience))
				if got, err := io.ReadAll(conn); string(got) != tt.want || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			} else if got, err := rest(conn); got != tt.want || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
			m.Misbehave(DatabaseSocket, Fault{})
			if got := ask(t, dial(t, m, "queue/db/wdb"), query); got != good {
				t.Errorf("afterwards %q", got)
			}
		})
	}
}

func TestControlMessagesReachTheAgentsTheyAreFor(t *testing.T) {
	m := start(t, Config{Keys: keysOf(2)})
	f := populate(t, m, 2)
	queue, err := net.Dial("unixgram", filepath.Join(m.Home(), "queue/alerts/ar"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = queue.Close() }()
	for _, text := range []string{
		"(pulse) [] N!S 001 agent keepalive web-001 1716897300", "(pulse) [] A!N 000 agent keepalive all 1716897300",
		"(pulse) [] N!S 777 agent keepalive x 1", "hello", "(x) nothing", "(x) [] N!S 001", // these reach no agent
	} {
		if _, err := queue.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, m, "all heard", func() bool { return m.Stats().ControlMessages == 6 && f.Stats().Notices == 3 })
	if n := f.Stats().Unknown; n != 3 {
		t.Errorf("%d messages that an agent does not know, want the 3 notices", n)
	}
}

func TestMonitordTellsOfASilentAgentOnceAndNotOfOneThatIsMarked(t *testing.T) {
	m := start(t, Config{Keys: keysOf(3), DisconnectionAge: time.Hour})
	long := time.Now().Add(-2 * time.Hour).Unix()
	if err := m.Exec(`UPDATE agent SET connection_status = 'active', last_keepalive = ? WHERE id IN (1, 2)`, long); err != nil {
		t.Fatal(err)
	}
	mark := `global update-connection-status {"id":2,"connection_status":"disconnected","sync_status":"synced","status_code":4}`
	if got := ask(t, dial(t, m, "queue/db/wdb"), mark); got != "ok" {
		t.Fatal(got)
	}
	for range 2 {
		if err := m.Sweep(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, m, "told", func() bool { return m.Stats().Events > 0 })
	want := []string{"1:[001] (web-001) any->wazuh-monitord:ossec: Agent disconnected: 'web-001-any'."}
	if got := m.Events(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := m.Writes(); !slices.Equal(got, []string{strings.TrimPrefix(mark, "global ")}) {
		t.Errorf("written: %q", got)
	}
}

func TestAnAnswerThatIsTooLongIsCutInTheMiddle(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1500)})
	conn := dial(t, m, "queue/db/wdb")
	if got := ask(t, conn, "global sql SELECT id, name, ip, register_ip FROM agent"); len(got) != maxAnswer || strings.HasSuffix(got, "]") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
	if got := ask(t, conn, "global get-all-agents last_id 0"); !strings.HasPrefix(got, "ok [") {
		t.Errorf("got %.20q", got)
	}
	for _, query := range []string{"global sql DROP TABLE agent", "global sql SELECT 1; DELETE FROM agent", "global sql PRAGMA user_version"} {
		if got := ask(t, conn, query); !strings.HasPrefix(got, "err ") {
			t.Errorf("%s: %q", query, got)
		}
	}
}

func TestAWorkersChangesWaitForTheMaster(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1), Cluster: Cluster{Node: "worker-1", Type: "worker"}})
	populate(t, m, 1)
	if a := status(t, m, 1); a.Node != "worker-1" || !strings.HasPrefix(a.Sync, "syncreq") {
		t.Errorf("%+v", a)
	}
	// A loss asks for less than the agent's arrival, which waits still.
	conn := dial(t, m, "queue/db/wdb")
	mark := `global update-connection-status {"id":1,"connection_status":"disconnected","sync_status":"syncreq_status","status_code":4}`
	for _, want := range []string{"syncreq", "syncreq_status"} {
		if got := ask(t, conn, mark); got != "ok" {
			t.Fatal(got)
		}
		if a := status(t, m, 1); a.Sync != want {
			t.Errorf("sync_status is %q, want %q", a.Sync, want)
		}
		ask(t, conn, "global sync-agent-info-get") // the master fetches it
	}
	conf, err := os.ReadFile(filepath.Join(m.Home(), "etc/ossec.conf"))
	if err != nil || !strings.Contains(string(conf), "<node_name>worker-1</node_name>\n    <node_type>worker</node_type>") {
		t.Errorf("%v\n%s", err, conf)
	}
}

func TestBeforeVersion44RequestsHaveAnotherSocket(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1), Version: "v4.3.11"})
	if got := ask(t, dial(t, m, "queue/sockets/request"), "001 agent getstate"); got != "err Cannot send request" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(filepath.Join(m.Home(), "queue/sockets/remote")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the newer one is there too: %v", err)
	}
}

func TestAgentsAreEnrolledAndRemovedWhileItRuns(t *testing.T) {
	keys := keysOf(3)
	m := start(t, Config{Keys: keys[:1]})
	if err := m.Enrol(keys[1:]...); err != nil {
		t.Fatal(err)
	}
	populate(t, m, 3)
	if err := m.Remove("002"); err != nil {
		t.Fatal(err)
	}
	until(t, m, "parted", func() bool { return m.Stats().Agents == 2 })
	if _, err := m.Agent(2); err == nil {
		t.Error("its row is there")
	}
	text, err := os.ReadFile(filepath.Join(m.Home(), "etc/client.keys"))
	if err != nil || strings.Count(string(text), "\n") != 2 || strings.Contains(string(text), "002 ") {
		t.Errorf("%v %q", err, text)
	}
}

func TestWhatSitsOnThePortWithoutAKeyIsShownOut(t *testing.T) {
	m := start(t, Config{Keys: keysOf(1)})
	for _, tt := range []struct{ name, sent, want string }{
		{"a ping", "\x05\x00\x00\x00#ping", "\x05\x00\x00\x00#pong"},
		{"noise", "\x05\x00\x00\x00noise", ""},
		{"an unknown agent", "\x0e\x00\x00\x00!555!#AES:12345", ""},
		{"a wrong key", "\x1a\x00\x00\x00!001!#AES:0123456789abcdef", ""},
		{"a length that is none", string(binary.LittleEndian.AppendUint32(nil, 1<<31)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", m.AgentAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := conn.Write([]byte(tt.sent)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(tt.want)+1)
			n, err := conn.Read(got)
			if string(got[:n]) != tt.want || tt.want == "" && errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %q, %v", got[:n], err)
			}
		})
	}
}
