package managersim

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// What wazuh-db of 5 does in its own way: some commands, an HTTP socket, and commits that
// are a minute apart.

//go:embed wdbstats5.json
var dbStatsOf5 string

// commandsOf5 are the commands of 5: those that are gone are taken away.
var commandsOf5 = func() map[string]command {
	all := maps.Clone(commands)
	for _, gone := range []string{"select-agent-name", "get-labels", "update-agent-name"} {
		delete(all, gone)
	}
	all["sql"] = command{run: (*store).runSQLOf5}
	all["get-agent-info"] = command{run: (*store).getAgentInfoOf5}
	all["get-all-agents"] = command{run: (*store).getAllAgentsOf5}
	all["get-agents-by-connection-status"] = command{run: (*store).getAgentsByStatusOf5}
	all["update-agent-data"] = command{run: (*store).updateAgentDataOf5}
	all["update-keepalive"] = command{run: (*store).updateKeepAliveOf5}
	all["update-status-code"] = command{run: (*store).updateStatusCodeOf5}
	return all
}()

// commands returns the commands of a version.
func (d dialect) commands() map[string]command {
	if d == wazuh5 {
		return commandsOf5
	}
	return commands
}

// goneColumns are the columns of an agent that 5 does not have.
var goneColumns = strings.NewReplacer(" os_codename,", "", " os_build,", "", " os_uname,", "", " config_sum,", "", " merged_sum,", "",
	"\n config_sum,", "\n", " manager_host,", "", " node_name,", "", " group_config_status,", "", "\n group_config_status,", "\n")

// presentColumns returns a list of an agent's columns without those that a version does not have.
func (d dialect) presentColumns(list string) string {
	if d == wazuh5 {
		return goneColumns.Replace(list)
	}
	return list
}

// runSQLOf5 runs a statement of any kind; what follows a semicolon is ignored.
func (s *store) runSQLOf5(query string) (answer, error) {
	if strings.TrimSpace(query) == "" {
		return nil, syntaxError("sql")
	}
	first, _, _ := strings.Cut(query, ";")
	rows, err := s.queryRows(first)
	if err != nil {
		return nil, err
	}
	b := appendRows("ok ", rows)
	return answer{b[:min(len(b), maxAnswer)]}, nil // a longer answer is truncated
}

func (s *store) getAgentInfoOf5(args string) (answer, error) {
	return pagedAnswer(s.queryRows(`SELECT * FROM agent WHERE id = ?`, parseNumber(args)))
}

func (s *store) getAllAgentsOf5(args string) (answer, error) {
	if args != "context" {
		return s.getAllAgents(args)
	}
	rows, err := s.queryRows(`SELECT id, version, name, ip, os_arch AS architecture, name AS hostname, os_name, os_platform, os_version, "group", connection_status
 FROM agent ORDER BY id`)
	var all answer
	for _, r := range rows {
		all = append(all, append([]byte("due "), r...))
	}
	return append(all, []byte("ok []")), err
}

// getAgentsByStatusOf5 ignores the name of a node: agents have none.
func (s *store) getAgentsByStatusOf5(args string) (answer, error) {
	f := strings.Fields(args)
	if len(f) < 4 {
		return s.getAgentsByStatus(args)
	}
	return pagedAnswer(s.queryRows(`SELECT id FROM agent WHERE id > ? AND connection_status = ? ORDER BY id LIMIT ?`,
		parseNumber(f[0]), f[1], parseNumber(f[3])))
}

// updateAgentDataOf5 stores a keep-alive. It leaves the values of an earlier disconnection.
func (s *store) updateAgentDataOf5(args string) (answer, error) {
	var a agentJSON
	var all map[string]any
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if err := decodeArgs(args, &all); err != nil || a.ID == nil || a.Connection == nil || a.Sync == nil {
		return nil, jsonDataError(args)
	}
	return okAnswer(s.execute(`UPDATE agent SET os_name = ?, os_version = ?, os_major = ?, os_minor = ?, os_type = ?, os_platform = ?,
 os_arch = ?, version = ?, ip = ?, last_keepalive = ?, connection_status = ?, sync_status = ? WHERE id = ?`,
		all["os_name"], all["os_version"], all["os_major"], all["os_minor"], all["os_type"], all["os_platform"],
		all["os_arch"], all["version"], all["agent_ip"], s.now(), *a.Connection, s.mergeSyncStatus(*a.ID, *a.Sync), *a.ID))
}

// updateKeepAliveOf5 stores a keep-alive without data, which ends a disconnection but for its code.
func (s *store) updateKeepAliveOf5(args string) (answer, error) {
	text, err := s.updateKeepAlive(args)
	if err != nil {
		return text, err
	}
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	return text, s.execute(`UPDATE agent SET disconnection_time = 0 WHERE id = ?`, *a.ID)
}

// updateStatusCodeOf5 also stores the startup of an agent of 5: with a status, it is pending.
func (s *store) updateStatusCodeOf5(args string) (answer, error) {
	var a agentJSON
	if err := decodeArgs(args, &a); err != nil {
		return nil, err
	}
	if a.Connection == nil || *a.Connection != "pending" {
		return s.updateStatusCode(args)
	}
	if a.ID == nil || a.Code == nil || a.Sync == nil {
		return nil, jsonDataError(args)
	}
	return okAnswer(s.execute(`UPDATE agent SET status_code = ?, version = ?, last_keepalive = ?, connection_status = 'pending', disconnection_time = 0,
 sync_status = ? WHERE id = ?`, *a.Code, a.Version, s.now(), s.mergeSyncStatus(*a.ID, *a.Sync), *a.ID))
}

// commits are what a killed wazuh-db leaves: the agents as they were at the last commit.
type commits struct {
	mu   sync.Mutex
	age  int64 // between two, in seconds; 0: nothing is ever lost
	last int64 // Unix seconds; the next is a multiple of age later
	has  bool  // there has been one
}

// commitIfDue commits what there is before the next change, if that is due.
func (s *store) commitIfDue() {
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.now()
	if c.age == 0 || now-c.last < c.age {
		return
	}
	if _, err := s.db.Exec(`DROP TABLE IF EXISTS temp.committed; CREATE TEMP TABLE committed AS SELECT * FROM agent`); err == nil {
		c.last, c.has = now-(now-c.last)%c.age, true
	}
}

// rollBack returns to the agents of the last commit. Those that were enrolled since stay.
func (s *store) rollBack() error {
	c := &s.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.has {
		return nil
	}
	_, err := s.db.Exec(`INSERT OR REPLACE INTO agent SELECT * FROM temp.committed`)
	return err
}

// startHTTP opens wdb-http.sock.
func (w *wazuhDB) startHTTP() error {
	l, err := listenStream(filepath.Join(w.cfg.Home, "queue/sockets/wdb-http.sock"), w.cfg.Backlog)
	if err != nil {
		return err
	}
	w.acceptConns(l, func(conn net.Conn) { w.goRun(func() { w.serveHTTP(conn) }) })
	return nil
}

// serveHTTP answers one request and closes, as the real one does.
func (w *wazuhDB) serveHTTP(conn net.Conn) {
	defer w.closeAndForget(conn)
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	w.stall.waitWhileStalled(w.quit)
	began := time.Now()
	code, body := w.answerHTTP(r.Method, r.URL.Path)
	w.counters.answering.Add(int64(time.Since(began)))
	w.counters.httpQueries.Add(1)
	w.counters.httpBytes.Add(uint64(len(body)))
	w.changes.notifyAll()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nServer: wazuh-manager-db\r\nDate: %s\r\nContent-Length: %d\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n%s",
		code, http.StatusText(code), time.Unix(w.store.now(), 0).UTC().Format(http.TimeFormat), len(body), body) // the client may have left
}

// allAgents is what GET /v1/agents/all has of each agent, null values left out. Times are text.
const allAgents = `SELECT id, name, coalesce(ip, register_ip) AS ip, connection_status AS status, os_name AS "os.name", os_version AS "os.version",
 os_type AS "os.type", os_platform AS "os.platform", version, CAST(date_add AS TEXT) AS dateAdd, nullif(os_major, '') AS "os.major",
 nullif(os_minor, '') AS "os.minor", os_arch AS "os.arch", CAST(last_keepalive AS TEXT) AS lastKeepAlive, register_ip AS registerIP,
 CAST(disconnection_time AS TEXT) AS disconnection_time, status_code FROM agent ORDER BY id`

func (w *wazuhDB) answerHTTP(method, path string) (code int, body []byte) {
	switch {
	case path == "/v1/agents/all" && method == http.MethodGet:
		rows, err := w.store.queryRows(allAgents)
		if err != nil {
			return http.StatusInternalServerError, jsonText(map[string]any{"error": err.Error(), "code": http.StatusInternalServerError})
		}
		return http.StatusOK, appendRows("", rows)
	case path == "/v1/agents/all":
		return http.StatusMethodNotAllowed, []byte(`{"error":"Method not allowed for this endpoint","code":405}`)
	case path == "/v1/agents/sync":
		w.counters.httpSyncs.Add(1)
	}
	return http.StatusNotFound, []byte(`{"error":"Unknown endpoint","code":404}`)
}

func jsonText(v any) []byte {
	b, _ := json.Marshal(v) // of texts and numbers
	return b
}
