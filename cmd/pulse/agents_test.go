package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
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
		if got := formatAge(tt.d); got != tt.want {
			t.Errorf("ago(%v) = %q, want %q", tt.d, got, tt.want)
		}
	}
}

func TestTheFleetIsATable(t *testing.T) {
	now := time.Unix(1716897300, 0)
	seen, rtt := now.Add(-1500*time.Millisecond), 0.44
	fleet := view.AgentPage{Agents: []view.LocatedAgent{
		{Agent: view.Agent{ID: "001", Name: "web", IP: "10.0.0.1", Status: "active", Reason: "connected", Since: now.Add(-time.Minute), LastSeen: &seen, RTT: &rtt,
			AgentInfo: event.AgentInfo{WazuhGroups: []string{"default", "web"}, OSName: "Ubuntu\x1b", OSVersion: "22.04", AgentVersion: "v4.9.2"}}},
		{Agent: view.Agent{ID: "002", Name: "db", IP: "any", Status: "never_connected", Since: now.Add(-time.Hour)}},
	}}
	var text strings.Builder
	if err := printAgents(&text, &fleet, now); err != nil {
		t.Fatal(err)
	}
	want := `ID   NAME  IP        STATUS           REASON     SINCE  SEEN   MISSED  RTT    VERSION  SYSTEM         GROUPS
001  web   10.0.0.1  active           connected  1m0s   1.5s   0       0.4ms  v4.9.2   Ubuntu? 22.04  default,web
002  db    any       never_connected  -          1h00m  never  0       -      -        -              -
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
		switch {
		case r.URL.Path == "/problem":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"detail":"not\u001b[31m so"}`))
		case r.Host != "localhost" || r.URL.Query().Get("status") != "active":
			http.Error(w, r.Host+r.URL.String(), http.StatusForbidden)
		}
	}))
	defer server.Close()
	daemon, err := openConsole(&config.Pulse{HTTP: server.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	body, err := daemon.openPath(t.Context(), "/api/v1/agents?status=active", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	for path, want := range map[string]string{"/": "answers 403 Forbidden; is that Pulse?", "/problem": "answers 403 Forbidden: not?[31m so"} {
		if _, err := daemon.openPath(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := daemon.openPath(ctx, "/", ""); err == nil || err.Error() != "interrupted" {
		t.Error(err)
	}
	if _, err := openConsole(&config.Pulse{}); err == nil || !strings.Contains(err.Error(), "the console is off") {
		t.Error(err)
	}
}

// Over TLS, the daemon is the one that has the certificate of our settings, and
// gets the token.
func TestTheConsoleIsAskedOverTLSWithTheToken(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer not-so-secret-as-it-was" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	settings := config.Pulse{HTTP: server.Listener.Addr().String(), HTTPTokenFile: write("token", []byte("not-so-secret-as-it-was\n")),
		HTTPCert: write("cert", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))}
	daemon, err := openConsole(&settings)
	if err != nil {
		t.Fatal(err)
	}
	body, err := daemon.openPath(t.Context(), "/", "")
	if err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	other := append([]byte(nil), server.Certificate().Raw...)
	other[len(other)-1] ^= 1
	settings.HTTPCert = write("other", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other}))
	if daemon, err = openConsole(&settings); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.openPath(t.Context(), "/", ""); err == nil || !strings.Contains(err.Error(), "its certificate is not that of <pulse><http_cert>") {
		t.Error(err)
	}
	for _, broken := range []config.Pulse{{HTTP: "h:1", HTTPTokenFile: dir}, {HTTP: "h:1", HTTPCert: dir}, {HTTP: "h:1", HTTPCert: settings.HTTPTokenFile}} {
		if _, err := openConsole(&broken); err == nil {
			t.Errorf("%+v opens", broken)
		}
	}
}
