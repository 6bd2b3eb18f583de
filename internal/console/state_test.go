package console

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestANodeThatFailsSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name   string
		health view.Health
		code   int
		body   string
	}{
		{"it is well", view.Health{}, http.StatusOK, "ok\n"},
		{"a failure", view.Health{Failures: []string{"no NATS"}}, http.StatusServiceUnavailable, `{"failures":["no NATS"],"warnings":[]}` + "\n"},
		{"both", view.Health{Failures: []string{"a", "b"}, Warnings: []string{"c"}}, http.StatusServiceUnavailable, `{"failures":["a","b"],"warnings":["c"]}` + "\n"},
		{"a warning", view.Health{Warnings: []string{"3 dead letters"}}, http.StatusOK, "ok\nwarning: 3 dead letters\n"},
	} {
		s := openFixture(t, 0, func(cfg *Config, _ *detector.Settings) { cfg.State = func() State { return State{Health: c.health} } })
		if answer, text := s.sendRequest(http.MethodGet, "/healthz"); answer.StatusCode != c.code || text != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.name, answer.StatusCode, text, c.code, c.body)
		}
	}
}

func TestANodeThatIsNotReadySaysWhyToWhoHasTheToken(t *testing.T) {
	_, shown := withToken(t)
	s := openFixture(t, 0, shown, func(cfg *Config, _ *detector.Settings) {
		cfg.State = func() State {
			return State{NotReady: []string{"the node is ending"}, Health: view.Health{Warnings: []string{"a secret of the house"}}}
		}
	})
	if answer, text := s.sendRequest(http.MethodGet, "/readyz"); answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "ending") {
		t.Errorf("%s %s", answer.Status, text)
	}
	if answer, text := s.sendRequest(http.MethodGet, "/healthz"); answer.StatusCode != http.StatusOK || text != "ok\n" {
		t.Errorf("%s %s", answer.Status, text)
	}
	if answer, text := s.sendRequest(http.MethodGet, "/readyz", "Authorization", "Bearer "+token); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "the node is ending") {
		t.Errorf("%s %s", answer.Status, text)
	}
}

// However many ask, the node is looked at ten times a second at most.
func TestTheStateIsAskedForAsSeldomAsWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := stateCache{read: func() State { asked++; return State{Sequence: uint64(asked)} }}
		for range 100 {
			c.currentNodeState()
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		time.Sleep(maxStateAge + 1)
		if c.currentNodeState().Sequence != 2 {
			t.Error("the state is old")
		}
	})
}

// A read of the state may take a second, as the embedded server starts. Its time counts as the state's age.
func TestAStateIsAsOldAsItsReadIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := stateCache{read: func() State {
			s := State{Depth: uint64(time.Since(began))}
			time.Sleep(time.Second)
			return s
		}}
		for range 3 {
			asked := time.Since(began)
			if readAt := time.Duration(c.currentNodeState().Depth); readAt < asked-maxStateAge {
				t.Errorf("asked %v after the beginning, the answer is of %v", asked, readAt)
			}
		}
	})
}

func TestTheSeriesIsBounded(t *testing.T) {
	var c sampleSeries
	if c.newestSamplePoint().At.IsZero() {
		t.Error("the newest of none has no time")
	}
	for i := range maxSamples + 10 {
		c.addSamplePoint(view.Point{Depth: uint64(i), At: time.Now()})
	}
	if len(c.points) != maxSamples || c.points[0].Depth != 10 || c.newestSamplePoint().Depth != maxSamples+9 {
		t.Errorf("%d from %d", len(c.points), c.points[0].Depth)
	}
}
