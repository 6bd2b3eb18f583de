package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
)

const silencesPath = "/api/v1/silences"

// addSilence adds a silence, and returns the answer.
func (s *fixture) addSilence(body string) silence.Added {
	s.t.Helper()
	answer, text := s.sendBody(http.MethodPost, silencesPath, body, "Pulse-Request", "1")
	var added silence.Added
	if err := json.Unmarshal([]byte(text), &added); err != nil || answer.StatusCode != http.StatusCreated {
		s.t.Fatalf("%s: %s %s", body, answer.Status, text)
	}
	return added
}

// withSilence has a silence in the settings.
func withSilence(t *testing.T, name string, e silence.Entry) option {
	t.Helper()
	one, err := silencer.SettingsSilence(name, e)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config, _ *detector.Settings) { c.Silences = settingsSilences{one} }
}

func (s *fixture) listSilences() silence.List {
	s.t.Helper()
	var list silence.List
	s.getJSON(silencesPath, &list)
	return list
}

func TestSilencesAreAddedListedAndEnded(t *testing.T) {
	s := openFixture(t, 20)
	added := s.addSilence(`{"agent":"host-00?","for":"2h","comment":"patch night","by":"alice"}`)
	if added.Agents != 9 || added.Node != "node01" || added.Silence.ID != "1" || added.Silence.State != silence.Active || added.Silence.By != "alice" {
		t.Errorf("%+v", added)
	}
	s.addSilence(`{"agent":"5,15","weekly":"daily 00:00-23:59 UTC","by":"bob"}`)
	list := s.listSilences()
	if len(list.Silences) != 2 || list.Silences[0].ID != "2" || list.Silences[1].Comment != "patch night" || list.Agents < 9 {
		t.Errorf("%+v", list)
	}
	if answer, text := s.sendRequest(http.MethodDelete, silencesPath+"/1?by=carol", "Pulse-Request", "1"); answer.StatusCode != http.StatusOK || !strings.Contains(text, `"ended_by":"carol"`) {
		t.Errorf("%s %s", answer.Status, text)
	}
	if list := s.listSilences(); list.Silences[1].State != silence.Over || list.Agents > 2 {
		t.Errorf("%+v", list)
	}
	if s.recorded.Load() < 3 {
		t.Errorf("%d changes are recorded", s.recorded.Load())
	}
}

func TestRequestsForSilencesThatMakeNoSenseAreRefused(t *testing.T) {
	s := openFixture(t, 1, withSilence(t, "night", silence.Entry{Agent: "1", Weekly: "Sun 02:00-04:00 UTC"}))
	post := func(status int, words, body string) {
		t.Helper()
		answer, text := s.sendBody(http.MethodPost, silencesPath, body, "Pulse-Request", "1")
		if answer.StatusCode != status || !strings.Contains(text, words) {
			t.Errorf("%.100s: %s %s, want %d with %s", body, answer.Status, text, status, words)
		}
	}
	post(http.StatusBadRequest, "not a JSON object", "")
	post(http.StatusBadRequest, "longer than 8192 bytes", `{"comment":"`+strings.Repeat("x", 10_000)+`"}`)
	post(http.StatusBadRequest, "it selects no agent", `{"for":"2h","by":"alice"}`)
	post(http.StatusBadRequest, "by: name who does this", `{"agent":"1","for":"2h"}`)
	post(http.StatusBadRequest, "want 1s to 366d", `{"agent":"1","for":"400d","by":"alice"}`)
	end := func(status int, words, target string) {
		t.Helper()
		s.expectProblem(status, words, http.MethodDelete, silencesPath+target, "Pulse-Request", "1")
	}
	end(http.StatusNotFound, "there is no such silence", "/1?by=a")
	end(http.StatusBadRequest, "name who does this", "/1")
	end(http.StatusBadRequest, "unknown parameter", "/1?who=a")
	end(http.StatusConflict, "it is in the settings: remove its <silence> there", "/settings:night?by=a")
	if list := s.listSilences(); len(list.Silences) != 1 || list.Silences[0].Origin != "settings" {
		t.Errorf("%+v", list)
	}
}

// What changes something is guarded as a ping is: other pages, other names, no token.
func TestSilencesAreGuardedAsPingsAre(t *testing.T) {
	s := openFixture(t, 1)
	for _, c := range [][2]string{{http.MethodPost, silencesPath}, {http.MethodDelete, silencesPath + "/1?by=a"}} {
		s.expectProblem(http.StatusForbidden, "needs the header", c[0], c[1])
		s.expectProblem(http.StatusForbidden, "other web pages", c[0], c[1], "Pulse-Request", "1", "Sec-Fetch-Site", "cross-site")
		s.expectProblem(http.StatusForbidden, "other web pages", c[0], c[1], "Pulse-Request", "1", "Origin", "http://127.0.0.1:1")
		s.expectProblem(http.StatusForbidden, "name this host by its address", c[0], c[1], "Pulse-Request", "1", "Host", "evil.example")
	}
	_, with := withToken(t)
	secret := openFixture(t, 1, with)
	for _, c := range [][2]string{{http.MethodGet, silencesPath}, {http.MethodPost, silencesPath}, {http.MethodDelete, silencesPath + "/1?by=a"}} {
		secret.expectProblem(http.StatusUnauthorized, "send the token", c[0], c[1], "Pulse-Request", "1")
	}
	if s.recorded.Load()+secret.recorded.Load() != 0 {
		t.Error("something was changed")
	}
}

func TestTooManyChangesOfSilencesAreRefused(t *testing.T) {
	s := openFixture(t, 1)
	refused := 0
	for i := range 2 * silenceBurst {
		answer, _ := s.sendRequest(http.MethodDelete, fmt.Sprintf("%s/%d?by=a", silencesPath, i), "Pulse-Request", "1")
		if answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") != "" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("none is refused")
	}
}

// Clients that read the fleet slowly keep nobody from silencing.
func TestSlowReadersOfTheFleetDelayNoSilence(t *testing.T) {
	s := openFixture(t, 1)
	for range maxScans {
		s.server.scanSlots <- struct{}{}
	}
	if added := s.addSilence(`{"agent":"1","for":"1h","by":"alice"}`); added.Agents != 1 {
		t.Errorf("%+v", added)
	}
	for range maxScans {
		<-s.server.scanSlots
	}
}
