package console

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestOnlyThisHostsAddressesAreAnswered(t *testing.T) {
	s := openFixture(t, 1)
	for host, good := range map[string]bool{
		"127.0.0.1:8420": true, "127.0.0.1": true, "localhost:8420": true, "localhost": true, "[::1]:8420": true, "[::1]": true, "192.0.2.7:8420": true,
		"evil.example:8420": false, "evil.example": false, "127.0.0.1.evil.example": false, "localhost.evil.example:8420": false, ":8420": false,
	} {
		for _, target := range []string{"/", "/api/v1/agents", "/healthz", "/metrics", "/assets/app.js"} {
			if !good {
				s.expectProblem(http.StatusForbidden, "name this host by its address", http.MethodGet, target, "Host", host)
			} else if answer, _ := s.sendRequest(http.MethodGet, target, "Host", host); answer.StatusCode != http.StatusOK {
				t.Errorf("%q %s: %s", host, target, answer.Status)
			}
		}
	}
}

func TestOtherPeoplesPagesAreRefused(t *testing.T) {
	s := openFixture(t, 1)
	const ping, other = "/api/v1/agents/001/ping", "requests from other web pages are refused"
	s.expectProblem(http.StatusForbidden, other, http.MethodPost, ping, "Pulse-Request", "1", "Sec-Fetch-Site", "cross-site")
	s.expectProblem(http.StatusForbidden, other, http.MethodPost, ping, "Pulse-Request", "1", "Sec-Fetch-Site", "same-site")
	s.expectProblem(http.StatusForbidden, other, http.MethodPost, ping, "Pulse-Request", "1", "Origin", "http://127.0.0.1:1")
	s.expectProblem(http.StatusForbidden, other, http.MethodPost, ping, "Pulse-Request", "1", "Origin", "null")
	s.expectProblem(http.StatusForbidden, other, http.MethodGet, "/api/v1/agents", "Sec-Fetch-Site", "cross-site")
	s.expectProblem(http.StatusForbidden, other, http.MethodGet, "/metrics", "Sec-Fetch-Site", "same-site")
	s.expectProblem(http.StatusForbidden, "needs the header", http.MethodPost, ping, "Sec-Fetch-Site", "same-origin")
	s.expectProblem(http.StatusConflict, "not connected", http.MethodPost, ping, "Pulse-Request", "1", "Sec-Fetch-Site", "same-origin", "Origin", s.url)
	if answer, _ := s.sendRequest(http.MethodGet, "/", "Sec-Fetch-Site", "cross-site"); answer.StatusCode != http.StatusOK {
		t.Errorf("a link to the dashboard: %s", answer.Status)
	}
}

func TestTheConsoleOnlyReadsPingsAndSilences(t *testing.T) {
	s := openFixture(t, 1)
	for target := range map[string]bool{"/": true, "/api/v1/agents": true, "/api/v1/agents/001": true, "/api/v1/status": true, "/metrics": true, "/healthz": true} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			answer, _ := s.sendRequest(method, target, "Pulse-Request", "1")
			if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") == "" {
				t.Errorf("%s %s: %s, allowed %q", method, target, answer.Status, answer.Header.Get("Allow"))
			}
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		s.expectProblem(http.StatusMethodNotAllowed, "allowed here: GET, HEAD, POST", method, "/api/v1/silences", "Pulse-Request", "1")
	}
	s.expectProblem(http.StatusMethodNotAllowed, "allowed here: DELETE", http.MethodPost, "/api/v1/silences/1", "Pulse-Request", "1")
	s.expectProblem(http.StatusMethodNotAllowed, "allowed here: POST", http.MethodGet, "/api/v1/agents/001/ping")
	s.expectProblem(http.StatusNotFound, "openapi.json", http.MethodGet, "/api/agents")
	s.expectProblem(http.StatusNotFound, "no such file", http.MethodGet, "/assets/none.js")
}

func TestEveryAnswerForbidsWhatPagesMayDoWrong(t *testing.T) {
	s := openFixture(t, 1)
	for _, target := range []string{"/", "/assets/app.js", "/api/v1/agents", "/none", "/metrics"} {
		answer, _ := s.sendRequest(http.MethodGet, target)
		policy := answer.Header.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			answer.Header.Get("X-Content-Type-Options") != "nosniff" || answer.Header.Get("Access-Control-Allow-Origin") != "" || answer.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", target, answer.Header)
		}
	}
	first, _ := s.sendRequest(http.MethodGet, "/")
	if again, _ := s.sendRequest(http.MethodGet, "/", "If-None-Match", first.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("the page again: %s", again.Status)
	}
}

const token = "a-token-of-more-than-20"

func withToken(t *testing.T) (path string, set option) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, func(c *Config, _ *detector.Settings) { c.TokenFile = path }
}

func TestWithATokenNothingIsToldWithoutIt(t *testing.T) {
	_, with := withToken(t)
	s := openFixture(t, 1, with)
	for _, target := range []string{"/api/v1/agents", "/api/v1/agents/001", "/api/v1/map", "/api/v1/status", "/api/v1/series", "/api/v1/events", "/api/v1/changes",
		"/api/v1/openapi.json", "/metrics", "/api/v1/none"} {
		for _, wrong := range []string{"", "Bearer", "Bearer x" + token, "Basic " + token, "Bearer " + token[1:]} {
			s.expectProblem(http.StatusUnauthorized, "send the token", http.MethodGet, target, "Authorization", wrong)
		}
	}
	s.expectProblem(http.StatusUnauthorized, "send the token", http.MethodPost, "/api/v1/agents/001/ping", "Pulse-Request", "1")
	for _, target := range []string{"/", "/assets/app.js", "/healthz", "/readyz"} {
		if answer, _ := s.sendRequest(http.MethodGet, target, "Host", "pulse.example"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", target, answer.Status)
		}
	}
	for _, right := range []string{"Bearer " + token, "bearer  " + token} {
		if answer, text := s.sendRequest(http.MethodGet, "/api/v1/agents", "Authorization", right, "Host", "pulse.example"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s %s", answer.Status, text)
		}
	}
}

func TestARunningConsoleTakesATokenThatWasReplaced(t *testing.T) {
	path, with := withToken(t)
	s := openFixture(t, 1, with)
	if err := os.WriteFile(path, []byte("another-token-of-20-and-more"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(waitTimeout); ; {
		if answer, _ := s.sendRequest(http.MethodGet, "/api/v1/agents", "Authorization", "Bearer another-token-of-20-and-more"); answer.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("the old token counts")
		}
	}
}

func TestATokenThatChangesIsReadAgain(t *testing.T) {
	path, _ := withToken(t)
	logged := new(testsupport.Log)
	log := slog.New(slog.NewTextHandler(logged, nil))
	secret, err := openTokenFile(path, log)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secret.readChanged()
	}
	replace("another-token-of-20-and-more")
	if secret.matchesToken(token) || !secret.matchesToken("another-token-of-20-and-more") {
		t.Error("the old one counts")
	}
	replace("short")
	if secret.matchesToken("short") || !secret.matchesToken("another-token-of-20-and-more") || secret.matchesToken("") {
		t.Error("a token that is no good counts")
	}
	if text := logged.String(); strings.Contains(text, "another-token") || !strings.Contains(text, "want 20 or more") {
		t.Errorf("logged: %s", text)
	}
	if _, err := openTokenFile(path, log); err == nil || strings.Contains(err.Error(), "short ") {
		t.Errorf("a short token: %v", err)
	}
	if _, err := openTokenFile(path+".not", log); err == nil {
		t.Error("a file that is not there")
	}
}
