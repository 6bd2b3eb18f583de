package query

import (
	"fmt"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
	"golang.org/x/time/rate"
)

func TestAPingIsAnsweredOrSaysWhyNot(t *testing.T) {
	with := func(change func(*detector.Settings)) detector.Settings {
		set := settings
		change(&set)
		return set
	}
	for name, c := range map[string]struct {
		set        detector.Settings
		lives      func(f *fleet)
		body       string
		code, text string // "" for an answer
	}{
		"one that lives":     {settings, func(f *fleet) { f.connect(false, 1) }, `{"id":"001"}`, "", ""},
		"one that hangs":     {settings, func(f *fleet) { f.connect(true, 1) }, `{"id":"001","timeout_ms":200}`, "504", "agent 001 did not answer within 200ms"},
		"one that is missed": {with(func(s *detector.Settings) { s.RetryInterval, s.MaxMissed = 100*time.Millisecond, 1000 }), func(f *fleet) { f.connect(true, 1) }, `{"id":"001","timeout_ms":10000}`, "504", "the keep-alive was not answered in time: "},
		"one that never was": {settings, func(*fleet) {}, `{"id":"001"}`, "409", "agent 001 is never_connected"},
		"one that is gone": {settings, func(f *fleet) { f.connect(false, 1); f.see(1, detector.SawShutdown, 0) },
			`{"id":"001"}`, "409", "agent 001 is disconnected"},
		"one whose connection is": {with(func(s *detector.Settings) { s.ReconnectGrace = time.Hour }),
			func(f *fleet) { f.connect(false, 1); f.see(1, detector.SawClosed, 0) }, `{"id":"001"}`, "409", "agent 001: the agent is not connected"},
		"a stranger":         {settings, func(*fleet) {}, `{"id":"002"}`, "404", "agent 002 is not known to node node01"},
		"without answers":    {with(func(s *detector.Settings) { s.Method = detector.Notify }), func(f *fleet) { f.connect(false, 1) }, `{"id":"001"}`, "409", "no answer with this method"},
		"without keep-alive": {with(func(s *detector.Settings) { s.Interval = 0 }), func(f *fleet) { f.connect(false, 1) }, `{"id":"001"}`, "409", "disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, c.set, 1)
			c.lives(f)
			url := natsServer(t)
			s, _ := newService("node01", f, f.clock)
			serve(t, s, connect(t, url))
			ask := newClient(t, url, 1)
			for _, subject := range []string{"pulse.agents.ping", "pulse.node01.agents.ping"} {
				m := ask.ask(subject, c.body)
				if c.code != "" {
					ask.refused(m, c.code, c.text)
				} else if got := read[view.PingAnswer](ask, m); got.ID != "001" {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

// Whoever asks, an agent hears of it once in a second.
func TestManyPingsAreOneForTheAgent(t *testing.T) {
	f := newFleet(t, settings, 1)
	f.connect(true, 1)
	url, nc := embedded(t)
	s, _ := newService("node01", f, f.clock)
	serve(t, s, nc)
	c := newClient(t, url, 1)
	inbox, err := c.nc.SubscribeSync("_INBOX.mine")
	if err != nil {
		t.Fatal(err)
	}
	const asked = 100
	for range asked {
		if err := c.nc.PublishRequest("pulse.agents.ping", inbox.Subject, []byte(`{"id":"001","timeout_ms":100}`)); err != nil {
			t.Fatal(err)
		}
	}
	for range asked {
		m, err := inbox.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		c.refused(m, "504", "did not answer")
	}
	if n := f.sends(1); n != 1 {
		t.Errorf("%d keep-alives were sent", n)
	}
}

func TestPingsOfAllClientsTogetherAreBounded(t *testing.T) {
	const agents = 20
	f := newFleet(t, settings, agents)
	url := natsServer(t)
	s, _ := newService("node01", f, f.clock)
	s.pings = rate.NewLimiter(0, 5)
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	for id := detector.AgentID(1); id <= agents; id++ {
		f.connect(false, id)
		m := c.ask("pulse.node01.agents.ping", fmt.Sprintf(`{"id":"%v"}`, id))
		if id <= 5 {
			read[view.PingAnswer](c, m)
			continue
		}
		c.refused(m, "429", "more than 100 pings a second")
		if f.sends(id) > 0 {
			t.Errorf("agent %v was asked", id)
		}
	}
}
