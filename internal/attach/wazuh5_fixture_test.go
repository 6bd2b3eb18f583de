package attach

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	_ "modernc.org/sqlite" // a database driver without C
)

// manager5 is what Pulse uses of a manager of Wazuh 5: the files of its home, wazuh-db with
// its tables, and remoted's answers for itself. Its goroutines are not of the bubble of
// a test with fake time, so that they may wait for connections there.
type manager5 struct {
	t    testing.TB
	home string
	role wazuhdb.ClusterRole
	view SharedView // of the nodes of its cluster; nil if they share none

	mu          sync.Mutex
	db          *sql.DB
	dbDown      bool
	remotedDown bool
	conns       map[net.Conn]bool
	written     []string // what Pulse wrote
	requests    []string // that remoted got for agents
}

// schema5 is the table of agents in Wazuh 5.0 (recorded).
const schema5 = `CREATE TABLE agent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, ip TEXT, register_ip TEXT, internal_key TEXT, os_name TEXT, os_version TEXT,
	os_major TEXT, os_minor TEXT, os_type TEXT, os_platform TEXT, os_arch TEXT, version TEXT, date_add INTEGER NOT NULL, last_keepalive INTEGER, [group] TEXT, group_hash TEXT,
	group_sync_status TEXT NOT NULL DEFAULT 'synced', sync_status TEXT NOT NULL DEFAULT 'synced', connection_status TEXT NOT NULL DEFAULT 'never_connected',
	disconnection_time INTEGER DEFAULT 0, status_code INTEGER DEFAULT 0);
	CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT); PRAGMA user_version = 1`

func startManager5(t testing.TB) *manager5 {
	t.Helper()
	dir, err := os.MkdirTemp("", "w5")
	if err != nil {
		t.Fatal(err)
	}
	m := &manager5{t: t, home: dir, conns: make(map[net.Conn]bool)}
	for _, name := range []string{"queue/db", "queue/sockets", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.writeFile(wazuhsock.Settings5, "<wazuh_config><cluster><node_name>node01</node_name></cluster></wazuh_config>")
	if m.db, err = sql.Open("sqlite", ":memory:"); err != nil {
		t.Fatal(err)
	}
	m.db.SetMaxOpenConns(1)
	if _, err := m.db.Exec(schema5); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var listeners []net.Listener
	for name, answer := range map[string]func(string) string{wazuhsock.DatabaseSocket: m.answerDatabase, wazuhsock.RequestSocket: m.answerRemoted} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		work.Go(func() { m.acceptConns(l, &work, answer) })
	}
	t.Cleanup(func() {
		for _, l := range listeners {
			_ = l.Close()
		}
		m.closeConns()
		work.Wait()
		_ = m.db.Close()
		_ = os.RemoveAll(dir)
	})
	return m
}

func (m *manager5) writeFile(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.home, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// touch sets the time at which a file or socket was made.
func (m *manager5) touch(name string, at time.Time) {
	m.t.Helper()
	if err := os.Chtimes(filepath.Join(m.home, name), at, at); err != nil {
		m.t.Fatal(err)
	}
}

func (m *manager5) acceptConns(l net.Listener, work *sync.WaitGroup, answer func(string) string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns[conn] = true
		m.mu.Unlock()
		work.Go(func() { m.serveConn(conn, answer) })
	}
}

// serveConn answers until the daemon goes down, for which an answer is empty.
func (m *manager5) serveConn(conn net.Conn, answer func(string) string) {
	defer func() {
		_ = conn.Close()
		m.mu.Lock()
		delete(m.conns, conn)
		m.mu.Unlock()
	}()
	for {
		request, err := wazuhsock.ReadFrame(conn)
		if err != nil {
			return
		}
		reply := answer(string(request))
		if reply == "" {
			return
		}
		if _, err := conn.Write(wazuhsock.AppendFrame(nil, reply)); err != nil {
			return
		}
	}
}

func (m *manager5) closeConns() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for conn := range m.conns {
		_ = conn.Close()
	}
}

func (m *manager5) setDown(db, remoted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dbDown, m.remotedDown = db, remoted
}

// setRow sets columns of an agent's row.
func (m *manager5) setRow(id int, columns map[string]any) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.db.Exec("INSERT OR IGNORE INTO agent (id, name, register_ip, date_add) VALUES (?, ?, 'any', 1)", id, fmt.Sprintf("agent%d", id)); err != nil {
		m.t.Error(err)
	}
	for name, value := range columns {
		if _, err := m.db.Exec("UPDATE agent SET "+name+" = ? WHERE id = ?", value, id); err != nil {
			m.t.Error(err)
		}
	}
}

func (m *manager5) answerDatabase(request string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dbDown {
		return ""
	}
	if query, ok := strings.CutPrefix(request, "global sql "); ok {
		return m.runQuery(query)
	}
	if text, ok := strings.CutPrefix(request, "global update-connection-status "); ok {
		var args struct {
			ID     int    `json:"id"`
			Status string `json:"connection_status"`
			Code   *int   `json:"status_code"`
		}
		if err := json.Unmarshal([]byte(text), &args); err != nil || args.Code == nil {
			return "err Invalid JSON data, near ''"
		}
		m.written = append(m.written, text)
		if _, err := m.db.Exec("UPDATE agent SET connection_status = ?, status_code = ? WHERE id = ?", args.Status, *args.Code, args.ID); err != nil {
			return "err " + err.Error()
		}
		return "ok"
	}
	return "err Invalid DB query syntax, near '" + request + "'"
}

// runQuery answers as wazuh-db does: without the columns that are null.
func (m *manager5) runQuery(query string) string {
	rows, err := m.db.Query(query)
	if err != nil {
		return "err Cannot execute Global database query; " + err.Error()
	}
	defer rows.Close()
	names, _ := rows.Columns()
	all := []map[string]any{}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return "err " + err.Error()
		}
		row := make(map[string]any)
		for i, name := range names {
			if values[i] != nil {
				row[name] = values[i]
			}
		}
		all = append(all, row)
	}
	text, _ := json.Marshal(all)
	return "ok " + string(text)[:min(len(text), wazuhsock.MaxFrame-3)]
}

func (m *manager5) answerRemoted(request string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.remotedDown:
		return ""
	case strings.Contains(request, "getstats"):
		return `{"error":0,"message":"ok","data":{"metrics":{"tcp_sessions":0}}}`
	case strings.Contains(request, `"remote"`):
		return `{"error":0,"message":"ok","data":{"remote":[{"connection":"secure","protocol":["TCP"],"port":"1514"}]}}`
	case strings.Contains(request, `"internal"`):
		return `{"error":0,"message":"ok","data":{"internal":{"remoted":{"request_pool":1024,"response_timeout":60}}}}`
	}
	m.requests = append(m.requests, request)
	return "err Cannot send request"
}

// listWrites returns what Pulse wrote; listRequests for which agents remoted got requests.
func (m *manager5) listWrites() []string   { return m.copyList(&m.written) }
func (m *manager5) listRequests() []string { return m.copyList(&m.requests) }

func (m *manager5) copyList(list *[]string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(*list)
}

// agents4 are the agents of Wazuh 4 beside it, as remoted answers for them.
type agents4 struct {
	mu     sync.Mutex
	state  map[detector.AgentID]remoted.Outcome // Answered unless set
	asked  map[detector.AgentID]int
	absent bool
}

func (a *agents4) RequestState(ctx context.Context, id detector.AgentID, timeout time.Duration, sent func()) (remoted.Outcome, error) {
	a.mu.Lock()
	a.asked[id]++
	outcome := a.state[id]
	if a.absent {
		outcome = remoted.Absent
	}
	a.mu.Unlock()
	if outcome == remoted.Absent {
		return outcome, context.DeadlineExceeded
	}
	sent()
	if outcome == remoted.Silent {
		select {
		case <-time.After(timeout):
		case <-ctx.Done():
		}
	}
	return outcome, nil
}

// countRequests returns how many requests an agent was sent.
func (a *agents4) countRequests(id detector.AgentID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[id]
}

func (a *agents4) setState(id detector.AgentID, outcome remoted.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state[id] = outcome
}

// beside5 is a link to a manager5 with a detector, in a bubble with fake time. It has no
// connWatcher, which waits for the kernel.
type beside5 struct {
	*manager5
	link   *Link
	agents *agents4
	log    *logRecorder

	mu      sync.Mutex
	changes []detector.Decision
	ctx     context.Context
	stop    func()
}

func attachTo5(t *testing.T, m *manager5, before ...detector.Restored) *beside5 {
	t.Helper()
	b := &beside5{manager5: m, log: new(logRecorder), agents: &agents4{state: make(map[detector.AgentID]remoted.Outcome), asked: make(map[detector.AgentID]int)}}
	set := detector.Settings{Group: detector.Group{Interval: time.Minute, Timeout: 3 * time.Minute, MaxMissed: 3}, Method: detector.Request,
		RetryInterval: 30 * time.Second, SuspectTimeout: 5 * time.Second, ReconnectGrace: 2 * time.Second}
	clock := detector.NewClock()
	fleet := detector.New(set, clock, func(out []detector.Decision) {
		for i := range out {
			switch d := &out[i]; {
			case d.Verdict == detector.Send:
				_ = b.link.KeepAlive(d.ID, d.Token)
			case !d.Verdict.IsRoutine():
				b.link.OnDecision(d)
			}
			if out[i].Verdict == detector.Changed {
				b.mu.Lock()
				b.changes = append(b.changes, out[i])
				b.mu.Unlock()
			}
		}
	})
	fleet.Restore(before, nil)
	link, err := Open(Config{Home: m.home, Cluster: m.role, Shared: m.view, Method: detector.Request, MaxInFlight: 128, Grace: set.ReconnectGrace, Timeout: set.Timeout, UpdateStatus: true,
		Clock: clock, Fleet: fleet, Log: newTestLog(b.log)})
	if err != nil {
		t.Fatal(err)
	}
	b.link = link
	link.prober.client = b.agents
	var running sync.WaitGroup
	b.ctx, b.stop = context.WithCancel(t.Context())
	cancel := b.stop
	for _, part := range []func(context.Context){fleet.Run, link.tracker.runTracker, link.monitor.runMonitor, link.reader.runReader, link.prober.runProber, link.writer.runWriter} {
		running.Go(func() { part(b.ctx) })
	}
	b.stop = sync.OnceFunc(func() { cancel(); running.Wait(); link.db.Close() })
	return b
}

// reportClosedConn reports that a connection from the address of some agents has ended.
func (b *beside5) reportClosedConn(ids ...detector.AgentID) {
	b.link.tracker.events.sendEvent(b.ctx, connClosed{ids})
}

// changesOf returns the changes of an agent's status from a time on.
func (b *beside5) changesOf(id detector.AgentID, from time.Time) (some []detector.Decision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.changes {
		if d.ID == id && !d.Time.Before(from) {
			some = append(some, d)
		}
	}
	return some
}

// readLines reads a file of JSON, a value in each line.
func readLines[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var v T
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}
