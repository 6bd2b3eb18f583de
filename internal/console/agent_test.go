package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestAnAgentIsShownWithItsHistory(t *testing.T) {
	s := openFixture(t, 2)
	s.connectAgents(1, 2)
	s.expectProblem(http.StatusForbidden, "needs the header Pulse-Request", http.MethodPost, "/api/v1/agents/001/ping")
	if answer, text := s.sendRequest(http.MethodPost, "/api/v1/agents/001/ping", "Pulse-Request", "1"); answer.StatusCode != http.StatusOK || !strings.Contains(text, `"rtt_ms":`) {
		t.Fatalf("%s %s", answer.Status, text)
	}
	s.reportSightings(detector.SawShutdown, 1)
	s.waitFor("a shutdown", func() bool { return s.detector.Counts().ByStatus[detector.Disconnected] == 1 })
	var one AgentDetails
	s.getJSON("/api/v1/agents/001", &one)
	if one.Node != "node01" || one.Agent.ID != "001" || one.Agent.Status != "disconnected" || len(one.Changes) != 3 || len(one.Trips) != 1 || len(one.Messages) != 4 {
		t.Fatalf("%+v", one)
	}
	if c := one.Changes[0]; c.Kind != "status_change" || c.To != "disconnected" || c.Reason != "agent_shutdown" || c.Level != 3 || c.ID != "001" || c.LastSeen == nil {
		t.Errorf("%+v", c)
	}
	if one.Trips[0].RTT == nil || !slices.ContainsFunc(one.Messages, func(m Message) bool { return strings.HasPrefix(m.Text, "answered after ") }) {
		t.Errorf("%+v", one)
	}
}

func TestWhoCannotBePingedIsToldWhy(t *testing.T) {
	s := openFixture(t, 2)
	ping := func(id string) (string, string) { return http.MethodPost, "/api/v1/agents/" + id + "/ping" }
	for _, c := range []struct {
		id     string
		status int
		words  string
	}{
		{"001", http.StatusConflict, "agent 001: the agent is not connected"}, {"003", http.StatusNotFound, "agent 003 is not known to node node01"},
		{"x", http.StatusBadRequest, "want an agent's ID"}, {"-1", http.StatusBadRequest, "want an agent's ID"},
	} {
		method, target := ping(c.id)
		s.expectProblem(c.status, c.words, method, target, "Pulse-Request", "1")
	}
	s.expectProblem(http.StatusNotFound, "agent 003", http.MethodGet, "/api/v1/agents/003")
}

func TestAnAgentThatDoesNotAnswerIsToldAsThat(t *testing.T) {
	s := openFixture(t, 1, func(_ *Config, set *detector.Settings) { set.RetryInterval, set.MaxMissed = 100*time.Millisecond, 3 })
	s.mute = func(detector.AgentID) bool { return true }
	s.connectAgents(1, 1)
	s.expectProblem(http.StatusGatewayTimeout, "not answered in time", http.MethodPost, "/api/v1/agents/001/ping", "Pulse-Request", "1")
}

// Pings are bounded, however many ask at once.
func TestTooManyPingsAreRefused(t *testing.T) {
	s := openFixture(t, 1)
	s.connectAgents(1, 1)
	var mu sync.Mutex
	seen := map[int]int{}
	var asking sync.WaitGroup
	for range 3 * pingBurst {
		asking.Go(func() {
			r, _ := http.NewRequest(http.MethodPost, s.url+"/api/v1/agents/001/ping", nil)
			r.Header.Set(requestHeader, "1")
			answer, err := s.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "" {
				t.Error("it is not said when to try again")
			}
			mu.Lock()
			defer mu.Unlock()
			seen[answer.StatusCode]++
		})
	}
	asking.Wait()
	if seen[http.StatusOK] == 0 || seen[http.StatusTooManyRequests] == 0 || seen[http.StatusOK]+seen[http.StatusTooManyRequests] != 3*pingBurst {
		t.Errorf("%v", seen)
	}
}

func TestAnAgentHasALinkToItsPageInWazuhsDashboard(t *testing.T) {
	d := readDocument(t)
	for base, want := range map[string]string{
		"":                            "",
		"https://wazuh.example":       "https://wazuh.example/app/endpoints-summary#/agents?tab=welcome&agent=001",
		"http://10.0.0.5:5601/wazuh/": "http://10.0.0.5:5601/wazuh/app/endpoints-summary#/agents?tab=welcome&agent=001",
	} {
		s := openFixture(t, 1, func(cfg *Config, _ *detector.Settings) { cfg.WazuhDashboard = base })
		answer, text := s.sendRequest("GET", "/api/v1/agents/001")
		d.checkAnswer("GET", "/api/v1/agents/{id}", answer, text)
		var one AgentDetails
		if err := json.Unmarshal([]byte(text), &one); err != nil || one.WazuhURL != want {
			t.Errorf("%s: %q, %v", base, one.WazuhURL, err)
		}
	}
}
