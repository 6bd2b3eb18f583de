package message

import (
	"net/netip"
	"testing"
	"time"
	"unique"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

var (
	decidedAt = time.Unix(1716897360, 0)
	seenAt    = time.Unix(1716897300, 0)
	testGroup = &Group{Interval: time.Minute, AlertThreshold: 8, FlapWindow: 10 * time.Minute}
)

// compareInfo takes what is known of no agent, and nothing known of one, for the same.
var compareInfo = cmp.Comparer(func(a, b unique.Handle[detector.Info]) bool {
	nothing := unique.Make(detector.Info{})
	return a == b || a == unique.Handle[detector.Info]{} && b == nothing || b == unique.Handle[detector.Info]{} && a == nothing
})

func writeOne(t *testing.T, d detector.Decision) []outbox.Message {
	t.Helper()
	w := NewWriter(Source{Node: "node01", Version: "1.0.0", Epoch: 3}, "p")
	return w.AppendRecord(nil, &Record{Decision: d, Group: testGroup})
}

// What a decision was is read back from its message, as far as a starting node needs it.
func TestAMessageIsReadBackAsTheDecisionItWasMadeOf(t *testing.T) {
	fleet := detector.Fleet{SinceTime: seenAt, Watched: 100, Lost: 50, Closed: 20, Silent: 30, Back: 10,
		Networks: []detector.Network{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Lost: 40}}, HostsProbed: 10, HostsAnswered: 9}
	info := detector.Info{Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"}
	seen := detector.Evidence{Closed: true, SilentFor: 41 * time.Second, Host: detector.HostAnswers, HostProbe: "tcp:22 refused", HostProbedTime: decidedAt}
	for _, c := range []struct {
		name     string
		decision detector.Decision
		want     history.Event
	}{
		{"a loss with its evidence", detector.Decision{Verdict: detector.Changed, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
			Reason: detector.ConnectionLost, Seen: true, LastSeenTime: seenAt, Evidence: seen, Info: info, Silenced: true, AlertHeld: true},
			history.Event{Kind: history.Change, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
				Reason: detector.ConnectionLost, LastSeen: seenAt, Evidence: seen, Info: unique.Make(info), Silenced: true}},
		{"an alert that is repeated", detector.Decision{Verdict: detector.Escalated, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
			Reason: detector.ConnectionLost, Seen: true, LastSeenTime: seenAt, Evidence: detector.Evidence{Closed: true}, Info: info, AwayFor: time.Hour, Step: 2},
			history.Event{Kind: history.Away, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
				Reason: detector.ConnectionLost, LastSeen: seenAt, Evidence: detector.Evidence{Closed: true}, Info: unique.Make(info), AwayFor: time.Hour, Step: 2}},
		{"a loss", detector.Decision{Verdict: detector.Changed, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
			Reason: detector.MissedKeepAlives, Missed: 2, Seen: true, LastSeenTime: seenAt, Outage: true, Changes: 4},
			history.Event{Kind: history.Change, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
				Reason: detector.MissedKeepAlives, Missed: 2, LastSeen: seenAt, Outage: true, Changes: 4}},
		{"a flapping agent", detector.Decision{Verdict: detector.Flapping, ID: 7, Name: "web", IP: "any", Changes: 6},
			history.Event{Kind: history.Flapping, ID: 7, Name: "web", IP: "any", Changes: 6}},
		{"an outage", detector.Decision{Verdict: detector.OutageBegan, Fleet: &fleet},
			history.Event{Kind: history.Outage, Fleet: &fleet}},
		{"its end", detector.Decision{Verdict: detector.OutageEnded, Fleet: &fleet},
			history.Event{Kind: history.Recovered, Fleet: &fleet}},
	} {
		c.decision.Time, c.want.At = decidedAt, decidedAt
		messages := writeOne(t, c.decision)
		if len(messages) != 1 {
			t.Fatalf("%s: %d messages", c.name, len(messages))
		}
		got, ok := decodeEvent(messages[0].Data)
		if time.Since(got.Known) > time.Minute {
			t.Errorf("%s: known at %v", c.name, got.Known)
		}
		got.Known = time.Time{}
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), compareInfo); !ok || diff != "" {
			t.Errorf("%s: %v (- want, + got):\n%s", c.name, ok, diff)
		}
	}
}

func TestAnAgentIsRestoredAsItsLastMessageLeftIt(t *testing.T) {
	clock := detector.NewClock()
	wall := newWallSeconds(clock)
	messages := writeOne(t, detector.Decision{Verdict: detector.Changed, Time: decidedAt, ID: 7, Name: "web", IP: "10.0.0.1", From: detector.Active,
		To: detector.Disconnected, Reason: detector.ConnectionLost, Missed: 1, Seen: true, LastSeenTime: seenAt, Outage: true, Part: detector.ConnectionClosed, Silenced: true,
		Evidence: detector.Evidence{Closed: true, Host: detector.HostSilent, HostProbe: "icmp", HostProbedTime: decidedAt}})
	m, err := event.Parse(messages[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeAgent(&m.(*event.StatusChangeMessage).StatusChange, wall)
	want := detector.Restored{Member: detector.Member{ID: 7, Name: "web", IP: "10.0.0.1"}, Addr: netip.MustParseAddr("10.0.0.1"),
		Status: detector.Disconnected, Reason: detector.ConnectionLost, Missed: 1, Outage: true, Part: detector.ConnectionClosed, Greeted: true, Silenced: true, From: detector.Active,
		Evidence: detector.Evidence{Closed: true, Host: detector.HostSilent, HostProbe: "icmp", HostProbedTime: decidedAt, HostProbedAt: wall.instant(decidedAt.Unix())},
		Since:    wall.instant(decidedAt.Unix()), LastSeen: wall.instant(seenAt.Unix())}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v (- want, + got):\n%s", err, diff)
	}
}

func TestALossIsAnAlertFromItsGroupsThresholdOn(t *testing.T) {
	loss := detector.Decision{Verdict: detector.Changed, ID: 7, From: detector.Active, To: detector.Disconnected, Reason: detector.MissedKeepAlives}
	for missed, want := range map[int]int{2: 1, 3: 2, 100: 2} { // levels 7, 8 and 12; the threshold is 8
		loss.Missed = missed
		if messages := writeOne(t, loss); len(messages) != want {
			t.Errorf("%d missed: %d messages, want %d", missed, len(messages), want)
		}
	}
	loss.AlertHeld = true
	if messages := writeOne(t, loss); len(messages) != 1 {
		t.Errorf("a held alert: %d messages", len(messages))
	}
}

// A kill while the host lives is an alert at once. One that nothing is known of is none,
// until the agent stays away: each repetition goes to the alerts alone.
func TestAKilledAgentIsAnAlertByItsHostOrByTime(t *testing.T) {
	kill := detector.Decision{Verdict: detector.Changed, ID: 7, From: detector.Active, To: detector.Disconnected, Reason: detector.ConnectionLost,
		Evidence: detector.Evidence{Closed: true, Host: detector.HostAnswers, HostProbe: "icmp", HostProbedTime: decidedAt}, Time: decidedAt}
	messages := writeOne(t, kill)
	if len(messages) != 2 || messages[1].Subject != "p.alerts.agent_disconnected" {
		t.Fatalf("%+v", messages)
	}
	alert := parseChange(t, messages[1])
	if alert.AlertLevel != 10 || alert.Technique != event.ImpairDefenses || alert.Host != event.HostAnswers {
		t.Errorf("%+v", alert)
	}
	kill.Evidence = detector.Evidence{Closed: true}
	if messages := writeOne(t, kill); len(messages) != 1 || parseChange(t, messages[0]).AlertLevel != 6 {
		t.Errorf("nothing known of the host: %+v", messages)
	}
	for step, level := range []int{8, 9, 10, 10} {
		kill.Verdict, kill.Step, kill.AwayFor = detector.Escalated, step+1, time.Duration(step+1)*time.Minute
		messages := writeOne(t, kill)
		if len(messages) != 1 || messages[0].Subject != "p.alerts.agent_disconnected" {
			t.Fatalf("repetition %d: %+v", step+1, messages)
		}
		again := parseChange(t, messages[0])
		if again.AlertLevel != level || again.AwayFor != int64(60*(step+1)) || again.Timestamp != decidedAt.Unix() {
			t.Errorf("repetition %d: %+v", step+1, again)
		}
	}
}

func parseChange(t *testing.T, m outbox.Message) *event.StatusChange {
	t.Helper()
	parsed, err := event.Parse(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return &parsed.(*event.StatusChangeMessage).StatusChange
}
