package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// eventReader reads a stream of events.
type eventReader struct {
	t      testing.TB
	answer *http.Response
	lines  *bufio.Scanner
	end    context.CancelFunc
}

type serverEvent struct{ kind, id, data string }

// openEvents follows from behind an event, with more pairs of headers.
func (s *fixture) openEvents(last string, header ...string) *eventReader {
	s.t.Helper()
	ctx, end := context.WithTimeout(context.Background(), waitTimeout)
	s.t.Cleanup(end)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%s %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	l := &eventReader{s.t, answer, bufio.NewScanner(answer.Body), end}
	l.lines.Buffer(nil, 64<<20)
	return l
}

// nextEvent returns the next event of a kind; no other kind than status may come before it.
func (l *eventReader) nextEvent(kind string) serverEvent {
	l.t.Helper()
	var e serverEvent
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch field {
		case "event":
			e.kind = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if e.kind == kind {
				return e
			}
			if e.kind != "status" {
				l.t.Fatalf("%+v, want %s", e, kind)
			}
			e = serverEvent{}
		}
	}
	l.t.Fatalf("the stream ends before %s: %v", kind, l.lines.Err())
	return e
}

func (l *eventReader) nextChanges() (events []view.Event, id string) {
	l.t.Helper()
	e := l.nextEvent("changes")
	if err := json.Unmarshal([]byte(e.data), &events); err != nil {
		l.t.Fatal(err)
	}
	return events, e.id
}

func TestWhatHappensIsToldAtOnceAndInOrder(t *testing.T) {
	s := openFixture(t, 100)
	l := s.openEvents("")
	if hello := l.nextEvent("hello"); hello.data != `{"epoch":7,"node":"node01","seq":0,"version":"1.2.3"}` {
		t.Error(hello)
	}
	s.connectAgents(1, 100)
	began := time.Now()
	s.reportSightings(detector.SawShutdown, 7)
	var all []view.Event
	var last string
	for len(all) < 201 {
		var more []view.Event
		more, last = l.nextChanges()
		all = append(all, more...)
	}
	t.Logf("a shutdown was heard of %v after it", time.Since(began))
	for i, e := range all {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d is %d", i+1, e.Seq)
		}
	}
	if e := all[200]; last != "7-201" || e.ID != "007" || e.To != "disconnected" || e.From != "active" || e.Reason != "agent_shutdown" || e.Name != "host-007" {
		t.Errorf("%s %+v", last, e)
	}
}

func TestAClientGoesOnWhereItWas(t *testing.T) {
	s := openFixture(t, 20)
	s.connectAgents(1, 10)
	l := s.openEvents("7-17")
	l.nextEvent("hello")
	got, id := l.nextChanges()
	if len(got) != 3 || got[0].Seq != 18 || id != "7-20" {
		t.Errorf("%d from %d, %s", len(got), got[0].Seq, id)
	}
	for _, stranger := range []string{"6-17", "7-21", "7", "x", "7-x", "-"} {
		l := s.openEvents(stranger)
		l.nextEvent("hello")
		if reset := l.nextEvent("reset"); reset.id != "7-20" || !strings.Contains(reset.data, "another life") {
			t.Errorf("%s: %+v", stranger, reset)
		}
	}
}

// addEvents makes n events, as fast as can be.
func (s *fixture) addEvents(n int) {
	d := make([]detector.Decision, n)
	for i := range d {
		d[i] = detector.Decision{Verdict: detector.Changed, ID: 1, Name: "host-001"}
	}
	s.history.RecordDecisions(d)
}

func TestAClientThatIsTooFarBehindIsToldSo(t *testing.T) {
	s := openFixture(t, 0)
	s.addEvents(10)
	s.addEvents(maxBehind + 1)
	l := s.openEvents("7-10")
	l.nextEvent("hello")
	if reset := l.nextEvent("reset"); reset.id != fmt.Sprintf("7-%d", maxBehind+11) || !strings.Contains(reset.data, "too much") {
		t.Errorf("%+v", reset)
	}
}

// A client that does not read: what it does not take is not kept for it, and it
// hears that it has missed some.
func TestASlowClientIsDropped(t *testing.T) {
	s := openFixture(t, 0)
	l := s.openEvents("")
	l.nextEvent("hello")
	for range 20 { // far more than a socket holds
		s.addEvents(5000)
	}
	for {
		var e serverEvent
		for l.lines.Scan() && l.lines.Text() != "" {
			field, value, _ := strings.Cut(l.lines.Text(), ": ")
			switch field {
			case "event":
				e.kind = value
			case "data":
				e.data = value
			}
		}
		if e.kind == "dropped" {
			if !strings.Contains(e.data, `"missed":`) {
				t.Error(e)
			}
			break
		}
		if e.kind == "" {
			t.Fatal("it ends without a word")
		}
	}
	if l.lines.Scan() {
		t.Errorf("it goes on: %s", l.lines.Text())
	}
}

func TestOnlySoManyFollow(t *testing.T) {
	s := openFixture(t, 0)
	for range maxPerClient {
		s.openEvents("").nextEvent("hello")
	}
	s.expectProblem(http.StatusServiceUnavailable, "follow the events already", http.MethodGet, "/api/v1/events")
	if n := s.server.Subscribers(); n != maxPerClient {
		t.Errorf("%d", n)
	}
}

func TestTheLastChangesAreListed(t *testing.T) {
	s := openFixture(t, 3)
	s.connectAgents(1, 3)
	var c view.Changes
	s.getJSON("/api/v1/changes?limit=2", &c)
	if len(c.Events) != 2 || c.Events[0].Seq != 6 || c.Last != "7-6" {
		t.Errorf("%+v", c)
	}
	s.expectProblem(http.StatusBadRequest, "1 to 1000", http.MethodGet, "/api/v1/changes?limit=0")
	s = openFixture(t, 0)
	s.getJSON("/api/v1/changes", &c)
	if len(c.Events) != 0 || c.Last != "7-0" {
		t.Errorf("%+v", c)
	}
}

func TestEveryKindOfEventIsShown(t *testing.T) {
	at := time.UnixMilli(1716897360000)
	for _, c := range []struct {
		e    history.Event
		want string
	}{
		{history.Event{Kind: history.Change, From: detector.Active, To: detector.Disconnected, Reason: detector.MissedKeepAlives, Missed: 3, LastSeen: at.Add(-20 * time.Second),
			ID: 5, Name: "web", IP: "10.0.0.5", Outage: true},
			`{"seq":0,"kind":"status_change","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":20100,"alert_level":8,"id":"005","name":"web","ip":"10.0.0.5",` +
				`"from":"active","to":"disconnected","reason":"missed_keepalives","missed":3,"last_seen":"2024-05-28T11:55:40Z","outage":true,"host":"unknown","confidence":["unanswered:3"]}`},
		{history.Event{Kind: history.Away, From: detector.Active, To: detector.Disconnected, Reason: detector.ConnectionLost, ID: 5, Name: "web", IP: "10.0.0.5",
			Evidence: detector.Evidence{Closed: true, Host: detector.HostSilent, HostProbe: "icmp", HostProbedTime: at}, Silenced: true, AwayFor: time.Hour, Step: 2,
			Info: unique.Make(detector.Info{Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"})},
			`{"seq":0,"kind":"agent_away","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","alert_level":9,"id":"005","name":"web","ip":"10.0.0.5",` +
				`"from":"active","to":"disconnected","reason":"connection_lost","host":"silent","host_probe":"icmp","host_probed_at":"2024-05-28T11:56:00Z",` +
				`"confidence":["connection_closed","host_silent"],"away_for":3600,"silenced":true,"wazuh_groups":["default","web"],"os_name":"Ubuntu","os_version":"22.04","agent_version":"v4.9.2"}`},
		{history.Event{Kind: history.Flapping, ID: 5, Name: "web", IP: "10.0.0.5", Changes: 7},
			`{"seq":0,"kind":"agent_flapping","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":9,"id":"005","name":"web","ip":"10.0.0.5","status_changes":7}`},
		{history.Event{Kind: history.Recovered, Fleet: &detector.Fleet{SinceTime: at, Watched: 50, Lost: 40, Silent: 40, Back: 30}},
			`{"seq":0,"kind":"fleet_recovered","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":3,` +
				`"fleet":{"since":"2024-05-28T11:56:00Z","agents_watched":50,"agents_lost":40,"connections_closed":0,"fell_silent":40,"agents_back":30,"networks":[]}}`},
		{history.Event{Kind: history.Starved, Pause: 3 * time.Second},
			`{"seq":0,"kind":"pulse_was_away","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":0,"away_ms":3000}`},
	} {
		c.e.At, c.e.Known = at, at.Add(100*time.Millisecond)
		if text, err := json.Marshal(view.NewEvent(&c.e)); err != nil || string(text) != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, text, c.want)
		}
	}
}
