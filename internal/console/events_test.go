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

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

// listener reads a stream of events.
type listener struct {
	t      testing.TB
	answer *http.Response
	lines  *bufio.Scanner
	end    context.CancelFunc
}

type told struct{ kind, id, data string }

// listen follows from behind an event, with more pairs of headers.
func (s *scene) listen(last string, header ...string) *listener {
	s.t.Helper()
	ctx, end := context.WithTimeout(context.Background(), patience)
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
	l := &listener{s.t, answer, bufio.NewScanner(answer.Body), end}
	l.lines.Buffer(nil, 64<<20)
	return l
}

// next returns the next event of a kind; no other kind than status may come before it.
func (l *listener) next(kind string) told {
	l.t.Helper()
	var e told
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
			e = told{}
		}
	}
	l.t.Fatalf("the stream ends before %s: %v", kind, l.lines.Err())
	return e
}

func (l *listener) changes() (events []Event, id string) {
	l.t.Helper()
	e := l.next("changes")
	if err := json.Unmarshal([]byte(e.data), &events); err != nil {
		l.t.Fatal(err)
	}
	return events, e.id
}

func TestWhatHappensIsToldAtOnceAndInOrder(t *testing.T) {
	s := openScene(t, 100)
	l := s.listen("")
	if hello := l.next("hello"); hello.data != `{"epoch":7,"node":"node01","seq":0,"version":"1.2.3"}` {
		t.Error(hello)
	}
	s.connect(1, 100)
	began := time.Now()
	s.see(detector.SawShutdown, 7)
	var all []Event
	var last string
	for len(all) < 201 {
		var more []Event
		more, last = l.changes()
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
	s := openScene(t, 20)
	s.connect(1, 10)
	l := s.listen("7-17")
	l.next("hello")
	got, id := l.changes()
	if len(got) != 3 || got[0].Seq != 18 || id != "7-20" {
		t.Errorf("%d from %d, %s", len(got), got[0].Seq, id)
	}
	for _, stranger := range []string{"6-17", "7-21", "7", "x", "7-x", "-"} {
		l := s.listen(stranger)
		l.next("hello")
		if reset := l.next("reset"); reset.id != "7-20" || !strings.Contains(reset.data, "another life") {
			t.Errorf("%s: %+v", stranger, reset)
		}
	}
}

// note makes n events, as fast as can be.
func (s *scene) note(n int) {
	d := make([]detector.Decision, n)
	for i := range d {
		d[i] = detector.Decision{Verdict: detector.Changed, ID: 1, Name: "host-001"}
	}
	s.history.RecordDecisions(d)
}

func TestAClientThatIsTooFarBehindIsToldSo(t *testing.T) {
	s := openScene(t, 0)
	s.note(10)
	s.note(behindMost + 1)
	l := s.listen("7-10")
	l.next("hello")
	if reset := l.next("reset"); reset.id != fmt.Sprintf("7-%d", behindMost+11) || !strings.Contains(reset.data, "too much") {
		t.Errorf("%+v", reset)
	}
}

// A client that does not read: what it does not take is not kept for it, and it
// hears that it has missed some.
func TestASlowClientIsDropped(t *testing.T) {
	s := openScene(t, 0)
	l := s.listen("")
	l.next("hello")
	for range 20 { // far more than a socket holds
		s.note(5000)
	}
	for {
		var e told
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
	s := openScene(t, 0)
	for range streamsPerClient {
		s.listen("").next("hello")
	}
	s.refused(http.StatusServiceUnavailable, "follow the events already", http.MethodGet, "/api/v1/events")
	if n := s.server.Subscribers(); n != streamsPerClient {
		t.Errorf("%d", n)
	}
}

func TestTheLastChangesAreListed(t *testing.T) {
	s := openScene(t, 3)
	s.connect(1, 3)
	var c Changes
	s.get("/api/v1/changes?limit=2", &c)
	if len(c.Events) != 2 || c.Events[0].Seq != 6 || c.Last != "7-6" {
		t.Errorf("%+v", c)
	}
	s.refused(http.StatusBadRequest, "1 to 1000", http.MethodGet, "/api/v1/changes?limit=0")
	s = openScene(t, 0)
	s.get("/api/v1/changes", &c)
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
				`"from":"active","to":"disconnected","reason":"missed_keepalives","missed":3,"last_seen":"2024-05-28T11:55:40Z","outage":true}`},
		{history.Event{Kind: history.Flapping, ID: 5, Name: "web", IP: "10.0.0.5", Changes: 7},
			`{"seq":0,"kind":"agent_flapping","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":9,"id":"005","name":"web","ip":"10.0.0.5","status_changes":7}`},
		{history.Event{Kind: history.Recovered, Fleet: &history.Fleet{Since: at, Fleet: detector.Fleet{Watched: 50, Lost: 40, Silent: 40, Back: 30}}},
			`{"seq":0,"kind":"fleet_recovered","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":3,` +
				`"fleet":{"since":"2024-05-28T11:56:00Z","agents_watched":50,"agents_lost":40,"connections_closed":0,"fell_silent":40,"agents_back":30,"networks":[]}}`},
		{history.Event{Kind: history.Starved, Pause: 3 * time.Second},
			`{"seq":0,"kind":"pulse_was_away","at":"2024-05-28T11:56:00Z","known_at":"2024-05-28T11:56:00.1Z","known_after_ms":100,"alert_level":0,"away_ms":3000}`},
	} {
		c.e.At, c.e.Known = at, at.Add(100*time.Millisecond)
		if text, err := json.Marshal(showEvent(&c.e)); err != nil || string(text) != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, text, c.want)
		}
	}
}
