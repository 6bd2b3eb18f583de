package managersim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// start5 starts a manager of 5 with the agents of the recordings.
func start5(t *testing.T, change ...func(*Config)) *Manager {
	t.Helper()
	cfg := Config{Version: "v5.0.0", Keys: recordedKeysOf5(t)}
	for _, f := range change {
		f(&cfg)
	}
	return start(t, cfg)
}

func recordedKeysOf5(t *testing.T) []clientkeys.Key {
	t.Helper()
	set, problems, err := clientkeys.ReadFile("testdata/wazuh5/client.keys")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return set.Keys()
}

// seedLines writes the rows that a recording's answers about all of an agent contain.
func seedLines(t *testing.T, m *Manager, lines []line) {
	t.Helper()
	for _, l := range lines {
		if strings.HasPrefix(l.Asked, "global get-agent-info ") && strings.Contains(l.Answered, "{") {
			seed(t, m, l.Answered)
		}
	}
	for _, l := range lines { // the rest of the agents
		if strings.HasPrefix(l.Asked, "global sql SELECT id, name, ip, register_ip, connection_status") || l.Asked == "global get-all-agents context" && l.Answered != "" {
			seed(t, m, strings.ReplaceAll(strings.ReplaceAll(l.Answered, `"architecture"`, `"os_arch"`), `"hostname"`, `"name"`))
		}
	}
}

// notSimulated5 are questions to wazuh-db whose answers the simulated one does not have:
// other databases, backups, how SQLite is set, and one of which only the first frame was recorded.
var notSimulated5 = []string{"global backup get", "mitre ", "task ", "global sql PRAGMA journal_mode", "global sql EXPLAIN",
	"global get-groups-integrity", "global get-all-agents context", "global sql SELECT name, type FROM sqlite_master", "global sql SELECT hex(zeroblob", "global sql ATTACH"}

func isSimulated5(asked string) bool {
	return !slices.ContainsFunc(notSimulated5, func(prefix string) bool { return strings.HasPrefix(asked, prefix) })
}

func TestEveryReadOfWazuhDBOf5IsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh5/wazuh-db-readonly.jsonl")
	m := start5(t, func(cfg *Config) { cfg.Now = lines[0].at })
	do(t, m, `set-agent-groups {"mode":"append","sync_status":"syncreq","data":[{"id":1031,"groups":["default"]},{"id":1032,"groups":["default"]},`+
		`{"id":1033,"groups":["default"]},{"id":1034,"groups":["default"]},{"id":7,"groups":["default"]}]}`)
	seedLines(t, m, lines)
	lines = slices.DeleteFunc(lines, func(l line) bool { return !isSimulated5(l.Asked) })
	played(t, m, "queue/db/wdb", lines, func(l line) func(string) string {
		if strings.HasPrefix(l.Asked, "{") {
			return anyNumber
		}
		return nil
	})
}

func TestEveryChangeInWazuhDBOf5IsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh5/wazuh-db-mutating.jsonl")
	m := start5(t, func(cfg *Config) { cfg.Now = func() int64 { return 1795888334 } })
	played(t, m, "queue/db/wdb", lines, exactly)
}

func TestEveryRequestToAnAgentOf5IsRefusedAsRecordedAndCounted(t *testing.T) {
	lines := append(recorded(t, "wazuh5/remoted-requests.jsonl"), recorded(t, "wazuh5/remoted-requests-slow.jsonl")...)
	m := start5(t, func(cfg *Config) { cfg.ResponseTimeout = 500 * time.Millisecond })
	for _, id := range []string{"1024", "1025", "1026"} {
		if code := m.HandleControl(id, []byte(`{"type":"startup","version":"v5.0.0"}`)); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	answers := make(map[string]string)
	of5 := uint64(0)
	for _, l := range lines {
		agent, question, _ := strings.Cut(l.Asked, " ")
		switch {
		case agent == "1031" && !strings.HasPrefix(l.Answered, "err Response"):
			answers[question] = l.Answered
		case agent >= "1024" && agent <= "1026" && len(agent) == 4:
			of5++
		}
	}
	for _, key := range recordedKeysOf5(t) {
		switch key.ID {
		case "1031", "007":
			enact(t, m, key, answers)
		case "1033":
			enact(t, m, key, nil) // it is stopped: it sends nothing
		}
	}
	played(t, m, "queue/sockets/remote", lines, exactly)
	if got := m.Stats().Requests5; got != of5 {
		t.Errorf("%d requests to agents of 5 were counted, of %d", got, of5)
	}
}

func TestEveryCommandOfRemotedOf5IsAnsweredAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh5/remoted-com.jsonl")
	lines = slices.DeleteFunc(lines, func(l line) bool {
		return strings.HasPrefix(l.Desc, "monitord: ") || strings.Contains(l.Asked, "assigngroup")
	})
	m := start5(t)
	port := fmt.Sprintf(`"port":"%d"`, m.AgentAddr().Port())
	played(t, m, "queue/sockets/remote", lines, func(l line) func(string) string {
		switch {
		case strings.Contains(l.Asked, "stats"):
			return anyNumber
		case strings.Contains(l.Asked, `"remote"`): // the test has any free port
			return func(text string) string { return strings.Replace(text, port, `"port":"1514"`, 1) }
		}
		return nil
	})
}

func TestWithoutTheLegacyPortEveryRequestIsRefusedAsRecorded(t *testing.T) {
	lines := recorded(t, "wazuh5/remoted-legacy-off.jsonl")
	m := start5(t, func(cfg *Config) { cfg.Wazuh5.NoLegacy = true })
	played(t, m, "queue/sockets/remote", lines, func(l line) func(string) string {
		if strings.Contains(l.Asked, "stats") {
			return anyNumber
		}
		return nil
	})
	if m.AgentAddr().IsValid() {
		t.Errorf("there is a port for agents of 4: %v", m.AgentAddr())
	}
	if err := m.SetLegacy(true); err != nil {
		t.Fatal(err)
	}
	m.StopRemoted()
	if err := m.StartRemoted(); err != nil || !m.AgentAddr().IsValid() {
		t.Errorf("%v, %v", m.AgentAddr(), err)
	}
}

// httpLine is one line of the recording of wdb-http.sock.
type httpLine struct {
	Time, Request, Status, Body string
	RequestBody                 string `json:"request_body"`
}

func TestWazuhDBOf5AnswersOverHTTPAsRecorded(t *testing.T) {
	file, err := os.Open("testdata/wazuh5/wdb-http.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	m := start5(t)
	seedLines(t, m, recorded(t, "wazuh5/wazuh-db-readonly.jsonl"))
	if err := m.Exec(`UPDATE agent SET os_name = 'Debian GNU/Linux', os_type = 'linux', os_platform = 'debian', os_arch = 'x86_64', version = iif(id < 1028 AND id > 7, 'v5.0.0', 'Wazuh v4.14.7'),
 os_version = iif(id < 1028 AND id > 7, '12 (bookworm)', '12'), os_major = iif(id < 1028 AND id > 7, '', '12'),
 disconnection_time = CASE id WHEN 1027 THEN 1795888036 WHEN 1034 THEN 1795888035 ELSE 0 END WHERE connection_status <> 'never_connected'`); err != nil {
		t.Fatal(err)
	}
	for lines := json.NewDecoder(bufio.NewReader(file)); lines.More(); {
		var l httpLine
		if err := lines.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(l.Request, "/summary") || strings.HasSuffix(l.Request, "/v1/agents/groups") {
			continue // not simulated
		}
		status, body := askHTTP(t, m, l.Request)
		if status != l.Status || body != l.Body {
			t.Errorf("%s\n got %s %s\nwant %s %s", l.Request, status, body, l.Status, l.Body)
		}
	}
	askHTTP(t, m, "GET /v1/agents/sync")
	if s := m.Stats(); s.HTTPSyncs != 1 || s.HTTPQueries < 8 {
		t.Errorf("%+v", s)
	}
}

// askHTTP sends a request to wdb-http.sock and returns the answer's first line and body.
func askHTTP(t *testing.T, m *Manager, request string) (status, body string) {
	t.Helper()
	conn := dial(t, m, "queue/sockets/wdb-http.sock")
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", request); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.Proto + " " + r.Status, string(text)
}

func TestAHomeOf5HasItsFilesAndNoQueuesOfAnOlderOne(t *testing.T) {
	m := start5(t, func(cfg *Config) { cfg.Wazuh5.Throttle = 10 * time.Second })
	for name, want := range map[string]string{
		"etc/wazuh-manager.conf":                  "<wazuh_config>",
		"etc/wazuh-manager-internal-options.conf": "remoted.control_keepalive_throttle=10\n",
		"etc/client.keys":                         "1024 five1024 any ",
	} {
		text, err := os.ReadFile(filepath.Join(m.Home(), name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	for _, name := range []string{"etc/ossec.conf", "queue/alerts/ar", "queue/sockets/queue"} {
		if _, err := os.Stat(filepath.Join(m.Home(), name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := ask(t, dial(t, m, "queue/db/wdb"), "global sql SELECT count(*) AS n FROM agent WHERE id = 0"); got != `ok [{"n":0}]` {
		t.Errorf("row 0: %s", got)
	}
}
