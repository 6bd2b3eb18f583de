package history

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func changes(n int) []detector.Decision {
	d := make([]detector.Decision, n)
	for i := range d {
		d[i] = detector.Decision{Verdict: detector.Changed, ID: detector.AgentID(i%3 + 1), To: detector.Active}
	}
	return d
}

func sequences(events []Event) (list []uint64) {
	for _, e := range events {
		list = append(list, e.Seq)
	}
	return list
}

func TestWhoReadsHearsEverythingOnceAndInOrder(t *testing.T) {
	h := newHistory(100, 1<<20)
	_, _, more := h.EventsAfter(0, 10)
	select {
	case <-more:
		t.Fatal("there is something before anything happened")
	default:
	}
	h.RecordDecisions(changes(25))
	<-more
	var last uint64
	for _, want := range []int{10, 10, 5} {
		events, gone, _ := h.EventsAfter(last, 10)
		if len(events) != want || gone != 0 || events[0].Seq != last+1 {
			t.Fatalf("after %d: %v, %d gone", last, sequences(events), gone)
		}
		last = events[len(events)-1].Seq
	}
	if events, _, more := h.EventsAfter(last, 10); len(events) != 0 || more == nil {
		t.Errorf("after the last: %v", sequences(events))
	}
	if h.LastSequence() != 25 {
		t.Error(h.LastSequence())
	}
}

func TestWhoFallsBehindHearsHowMuchIsGone(t *testing.T) {
	h := newHistory(10, 1<<20)
	h.RecordDecisions(changes(25))
	events, gone, _ := h.EventsAfter(3, 100)
	if gone != 12 || len(events) != 10 || events[0].Seq != 16 || events[9].Seq != 25 {
		t.Errorf("%v, %d gone", sequences(events), gone)
	}
	if newest := h.LatestEvents(3); newest[0].Seq != 25 || len(newest) != 3 {
		t.Errorf("%v", sequences(newest))
	}
	if all := h.LatestEvents(100); len(all) != 10 || all[9].Seq != 16 {
		t.Errorf("%v", sequences(all))
	}
	if of := h.EventsOf(1, 100); len(of) != 4 || of[0].Seq != 25 || of[3].Seq != 16 {
		t.Errorf("%v", sequences(of))
	}
}

func TestDelayIsHowSoonSomethingIsKnown(t *testing.T) {
	known := time.Now()
	ago := func(d time.Duration) time.Time { return known.Add(-d) }
	for _, c := range []struct {
		name string
		e    Event
		want time.Duration
	}{
		{"a loss, since the last sign of life", Event{To: detector.Disconnected, Reason: detector.MissedKeepAlives, At: ago(time.Second), LastSeen: ago(20 * time.Second)}, 20 * time.Second},
		{"a loss of who was never seen", Event{To: detector.Disconnected, Reason: detector.KeepAliveTimeout, At: ago(time.Second)}, 0},
		{"a shutdown, since it was said", Event{To: detector.Disconnected, Reason: detector.AgentShutdown, At: ago(time.Millisecond), LastSeen: ago(time.Second)}, time.Millisecond},
		{"a return", Event{To: detector.Active, At: ago(time.Second), LastSeen: ago(time.Minute)}, time.Second},
		{"by a clock that went back", Event{To: detector.Active, At: ago(-time.Second)}, 0},
		{"an outage", Event{Kind: Outage, At: ago(time.Second)}, time.Second},
	} {
		if c.e.Known = known; c.e.Delay() != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.e.Delay(), c.want)
		}
	}
}

func TestADecisionTimeThatIsRoundedUpIsKnownAfterIt(t *testing.T) {
	h := New()
	h.RecordDecisions([]detector.Decision{{Verdict: detector.Changed, ID: 1, To: detector.Active, Time: time.Now().Add(time.Second)}})
	if e := h.LatestEvents(1)[0]; e.Delay() <= 0 {
		t.Errorf("%+v", e)
	}
}

func TestAnOutageGoesOnUntilItIsOver(t *testing.T) {
	h := New()
	if h.CurrentOutage() != nil {
		t.Error("there is one from the beginning")
	}
	h.RecordDecisions([]detector.Decision{{Verdict: detector.OutageBegan, Fleet: &detector.Fleet{Lost: 30}}})
	h.RecordDecisions([]detector.Decision{{Verdict: detector.OutageBegan, Fleet: &detector.Fleet{Lost: 50}}})
	if now := h.CurrentOutage(); now == nil || now.Lost != 50 {
		t.Errorf("%+v", now)
	}
	h.RecordDecisions([]detector.Decision{{Verdict: detector.OutageEnded, Fleet: &detector.Fleet{Lost: 50, Back: 40}}})
	if h.CurrentOutage() != nil {
		t.Error("it goes on")
	}
	h.RestoreEvents([]Event{{Kind: Outage, Fleet: &detector.Fleet{}}})
	if h.CurrentOutage() == nil {
		t.Error("an outage of the life before is forgotten")
	}
}

func TestEveryVerdictBecomesWhatItIs(t *testing.T) {
	h, now := New(), time.Now()
	h.RecordDecisions([]detector.Decision{
		{Verdict: detector.Send, ID: 1}, {Verdict: detector.Acknowledged, ID: 1, Time: now, RTT: 1500 * time.Microsecond}, {Verdict: detector.Failed, ID: 1},
		{Verdict: detector.Changed, ID: 1, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected, Seen: true, LastSeenTime: now, Missed: 3},
		{Verdict: detector.AlertReleased, ID: 1}, {Verdict: detector.Flapping, ID: 1, Changes: 7}, {Verdict: detector.Resumed, Pause: time.Second},
	})
	events := h.LatestEvents(10)
	if len(events) != 3 || events[0].Kind != Starved || events[0].Pause != time.Second || events[1].Kind != Flapping || events[1].Changes != 7 ||
		events[2].Kind != Change || events[2].Name != "web" || events[2].LastSeen.IsZero() || events[2].Known.IsZero() {
		t.Errorf("%+v", events)
	}
	trips := h.RoundTrips(1)
	if len(trips) != 2 || !trips[0].OK || trips[0].RTT != 1500*time.Microsecond || trips[1].OK || time.Since(trips[0].At) > time.Minute {
		t.Errorf("%+v", trips)
	}
	h.RecordDecisions(nil)
}
