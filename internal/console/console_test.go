package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a detector's pages.
type fleet [][]detector.Record

func (f fleet) Counts() [4]int { return [4]int{} }

func (f fleet) Page(n int) ([]detector.Record, bool) {
	if n >= len(f) {
		return nil, false
	}
	return f[n], n < len(f)-1
}

func get(f Fleet, host, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	New("node01", f, detector.NewClock(), nothing, healthy).Handler.ServeHTTP(w, r)
	return w
}

func agentsOf(t *testing.T, w *httptest.ResponseRecorder) (all Agents) {
	t.Helper()
	if kind := w.Header().Get("Content-Type"); w.Code != http.StatusOK || kind != "application/json" {
		t.Fatalf("%d %s: %s", w.Code, kind, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return all
}

var small = fleet{{
	{ID: 1, Name: "web \"1\"", IP: "10.0.0.1", Status: detector.Active, Reason: detector.Connected, Seen: true, RTT: 1234567 * time.Nanosecond},
	{ID: 2, Name: "db", IP: "any", Status: detector.NeverConnected},
	{ID: 1234, Name: "mail", IP: "10.0.0.3", Status: detector.Disconnected, Reason: detector.MissedKeepAlives, Missed: 3, Seen: true},
}}

func TestTheFleetIsListedWithEveryField(t *testing.T) {
	all := agentsOf(t, get(small, "127.0.0.1:8420", "/api/agents"))
	if all.Node != "node01" || len(all.Agents) != 3 {
		t.Fatalf("%+v", all)
	}
	web, db, mail := all.Agents[0], all.Agents[1], all.Agents[2]
	if web.ID != "001" || web.Name != "web \"1\"" || web.IP != "10.0.0.1" || web.Status != "active" || web.Reason != "connected" ||
		web.LastSeen == nil || web.RTT == nil || *web.RTT != 1.235 || time.Since(web.Since) > time.Minute {
		t.Errorf("%+v", web)
	}
	if db.Status != "never_connected" || db.Reason != "" || db.LastSeen != nil || db.RTT != nil {
		t.Errorf("%+v", db)
	}
	if mail.ID != "1234" || mail.Status != "disconnected" || mail.Missed != 3 {
		t.Errorf("%+v", mail)
	}
}

func TestTheFleetIsListedByStatus(t *testing.T) {
	for target, want := range map[string][]string{
		"/api/agents?status=active":          {"001"},
		"/api/agents?status=never_connected": {"002"},
		"/api/agents?status=disconnected":    {"1234"},
		"/api/agents?status=pending":         {},
		"/api/agents?status=":                {"001", "002", "1234"},
	} {
		ids := []string{}
		for _, a := range agentsOf(t, get(small, "localhost", target)).Agents {
			ids = append(ids, a.ID)
		}
		if !reflect.DeepEqual(ids, want) {
			t.Errorf("%s: %v, want %v", target, ids, want)
		}
	}
	if w := get(small, "localhost", "/api/agents?status=asleep"); w.Code != http.StatusBadRequest {
		t.Errorf("an unknown status: %d", w.Code)
	}
}

func TestAnEmptyFleetIsAnEmptyList(t *testing.T) {
	if w := get(fleet{nil}, "localhost", "/api/agents"); agentsOf(t, w).Agents == nil {
		t.Errorf("%s", w.Body)
	}
}

func TestEveryPageOfALargeFleetIsListed(t *testing.T) {
	table := detector.NewTable(detector.Settings{Group: detector.Group{Timeout: time.Hour, MaxMissed: 3}})
	const n = 2*detector.PageSize + 100
	members := make([]detector.Member, n)
	for i := range members {
		members[i] = detector.Member{ID: detector.AgentID(i + 1), Name: fmt.Sprint("agent", i), IP: "any"}
	}
	table.SetMembers(members, 0)
	all := agentsOf(t, get(paged{table}, "localhost", "/api/agents"))
	if len(all.Agents) != n || all.Agents[n-1].ID != fmt.Sprint(n) {
		t.Errorf("%d agents, want %d", len(all.Agents), n)
	}
}

type paged struct{ *detector.Table }

func (p paged) Page(n int) ([]detector.Record, bool) { return p.Table.Page(nil, n) }

func TestOnlyThisHostsAddressesAreAnswered(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8420": http.StatusOK, "127.0.0.1": http.StatusOK, "localhost:8420": http.StatusOK, "localhost": http.StatusOK,
		"[::1]:8420": http.StatusOK, "[::1]": http.StatusOK, "192.0.2.7:8420": http.StatusOK,
		"evil.example:8420": http.StatusForbidden, "evil.example": http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden,
		"localhost.evil.example:8420": http.StatusForbidden, "": http.StatusForbidden, ":8420": http.StatusForbidden,
	} {
		for _, target := range []string{"/api/agents", "/healthz"} {
			if w := get(small, host, target); w.Code != want {
				t.Errorf("%q %s: %d, want %d", host, target, w.Code, want)
			}
		}
	}
}

func TestTheConsoleOnlyReads(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/api/agents", strings.NewReader("{}"))
	r.Host = "localhost"
	w := httptest.NewRecorder()
	New("node01", small, detector.NewClock(), nothing, healthy).Handler.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d", w.Code)
	}
}

func TestTheNodeIsHealthy(t *testing.T) {
	if w := get(small, "localhost", "/healthz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func nothing() any { return nil }

func healthy() (h Health) { return h }

func TestANodeThatFailsSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name   string
		health Health
		code   int
		body   string
	}{
		{"a failure", Health{Failures: []string{"no NATS"}}, http.StatusServiceUnavailable, `{"failures":["no NATS"],"warnings":[]}` + "\n"},
		{"both", Health{[]string{"a", "b"}, []string{"c"}}, http.StatusServiceUnavailable, `{"failures":["a","b"],"warnings":["c"]}` + "\n"},
		{"a warning", Health{Warnings: []string{"3 dead letters"}}, http.StatusOK, "ok\nwarning: 3 dead letters\n"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Host = "localhost"
		New("node01", small, detector.NewClock(), nothing, func() Health { return c.health }).Handler.ServeHTTP(w, r)
		if w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.name, w.Code, w.Body, c.code, c.body)
		}
	}
}

func TestTheStatusIsShownAsJSON(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/status", nil)
	r.Host = "localhost"
	status := func() any { return map[string]int{"refused": 3} }
	New("node01", fleet{nil}, detector.NewClock(), status, healthy).Handler.ServeHTTP(w, r)
	if got := strings.Join(strings.Fields(w.Body.String()), ""); w.Code != http.StatusOK || got != `{"refused":3}` {
		t.Errorf("%d %s", w.Code, got)
	}
}
