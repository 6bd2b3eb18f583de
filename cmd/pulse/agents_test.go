package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestAgesHaveThePrecisionAPersonWants(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0s"}, {0, "0s"}, {1234 * time.Millisecond, "1.2s"}, {12345 * time.Millisecond, "12s"},
		{61 * time.Second, "1m1s"}, {time.Hour + 2*time.Minute, "1h02m"}, {47*time.Hour + 59*time.Minute, "47h59m"},
		{49 * time.Hour, "2d"}, {1000 * time.Hour, "41d"},
	} {
		if got := ago(tt.d); got != tt.want {
			t.Errorf("ago(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestTheFleetIsATable(t *testing.T) {
	now := time.Unix(1716897300, 0)
	seen, rtt := now.Add(-1500*time.Millisecond), 0.44
	fleet := console.Agents{Agents: []view.Agent{
		{ID: "001", Name: "web", IP: "10.0.0.1", Status: "active", Reason: "connected", Since: now.Add(-time.Minute), LastSeen: &seen, RTT: &rtt},
		{ID: "002", Name: "db", IP: "any", Status: "never_connected", Since: now.Add(-time.Hour)},
	}}
	var text strings.Builder
	if err := printAgents(&text, &fleet, now); err != nil {
		t.Fatal(err)
	}
	want := `ID   NAME  IP        STATUS           REASON     SINCE  SEEN   MISSED  RTT
001  web   10.0.0.1  active           connected  1m0s   1.5s   0       0.4ms
002  db    any       never_connected  -          1h00m  never  0       -
2 agents
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if err := printAgents(brokenWriter{errNoReader}, &fleet, now); err == nil {
		t.Error("a write that fails is not told")
	}
}

func TestTheConsoleIsAskedByAnAddressItAnswersTo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "localhost" || r.URL.Query().Get("status") != "active" {
			http.Error(w, r.Host+r.URL.String(), http.StatusForbidden)
		}
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	body, err := askConsole(t.Context(), addr, "/api/agents?status=active")
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()

	if _, err := askConsole(t.Context(), addr, "/"); err == nil || !strings.Contains(err.Error(), "answers 403 Forbidden: is that Pulse?") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := askConsole(ctx, addr, "/"); err == nil || err.Error() != "interrupted" {
		t.Error(err)
	}
}
