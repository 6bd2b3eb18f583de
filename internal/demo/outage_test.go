package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
)

// newNight is a blackout whose messages a test makes by hand; all agents have
// been active, were cut off at second 10 and have their network back at 30.
func newNight(t *testing.T, ids ...string) (*testRun, *outageScenario) {
	a := newTestRun(t, ids...)
	b := newOutageScenario(a.demoRun, 20*time.Second, false)
	a.scenario = b
	for _, id := range ids {
		a.change(1, id, event.Active, event.Connected)
	}
	b.cut, b.healed = at(10), at(30)
	return a, b
}

func (a *testRun) lose(when float64, id string, outage bool) {
	a.Helper()
	a.publish(when, event.Prefix("p").StatusChange(id), event.StatusChangeMessage{StatusChange: event.StatusChange{
		AgentID: id, CurrentStatus: event.Disconnected, Reason: event.MissedKeepAlives, Outage: outage}})
}

func (a *testRun) outage(when float64) {
	a.Helper()
	a.publish(when, "p.alerts.fleet_outage", event.FleetOutageMessage{Outage: &event.FleetOutage{AgentsWatched: 2, AgentsLost: 2,
		FellSilent: 2, Networks: []event.Network{{Network: "127.0.0.0/24", Agents: 2}}, AlertLevel: alertlevel.Outage}})
}

func (a *testRun) recovery(when float64) {
	a.Helper()
	a.publish(when, "p.alerts.fleet_outage", event.FleetOutageMessage{Recovered: &event.FleetOutage{AgentsLost: 2, AgentsBack: 2,
		AlertLevel: alertlevel.Recovered}})
}

func TestAnOutageIsToldInAFewLines(t *testing.T) {
	a, b := newNight(t, "001", "002")
	b.healed = time.Time{}
	a.lose(13.5, "001", false)
	a.lose(13.5, "002", true)
	a.outage(13.5)
	b.healed = at(30)
	for _, id := range []string{"001", "002"} {
		a.change(30.2, id, event.Active, event.Reconnected)
	}
	b.advance(at(30.3))
	b.advance(at(30.8))
	a.recovery(31)
	a.evaluateRun(at(60))

	want := []string{
		"   1.0s  all 2 agents are active",
		"  13.5s  → 2 status changes to disconnected, 1 of them marked as part of the outage",
		"  13.5s  → fleet_outage, alert level 13: 2 of 2 agents lost so far (2 fell silent, 0 closed their connections), 2 in 127.0.0.0/24",
		"  30.8s  → 2 status changes to active",
		"  31.0s  → fleet_recovered, alert level 3: 2 of the 2 lost agents are back",
	}
	if diff := cmp.Diff(strings.Join(want, "\n")+"\n", a.out.String()); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	r := &a.report
	if err := r.Err(); err != nil || r.Outages != 1 || r.Recoveries != 1 || r.Alerts != 2 || r.AgentAlerts != 0 || r.Marked != 1 {
		t.Errorf("%v, %+v", err, r)
	}
	if want := (Detection{AgentID: "001", How: "cut", Reason: "missed_keepalives", Host: event.HostUnknown, AfterMS: 3500}); r.Detections[0] != want {
		t.Errorf("%+v", r.Detections[0])
	}
	var out bytes.Buffer
	r.WriteText(&out)
	for _, line := range []string{"  fleet_outage: 1, fleet_recovered: 1, losses marked as part of it: 1, alerts of single agents: 0\n", "One outage was one alert"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
}

func TestAnOutageThatIsToldWronglyIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name string
		what func(*testRun, *outageScenario)
		want string
	}{
		{"an alert of a single agent", func(a *testRun, _ *outageScenario) {
			a.publish(14, "p.alerts.agent_disconnected", event.StatusChangeMessage{})
		}, "alerts of single agents during a fleet outage: 1, want none"},
		{"a second outage", func(a *testRun, _ *outageScenario) { a.outage(15) }, "2 fleet_outage and 1 fleet_recovered, want one of each"},
		{"a second recovery", func(a *testRun, _ *outageScenario) { a.recovery(35) }, "1 fleet_outage and 2 fleet_recovered, want one of each"},
		{"a loss after the network is back", func(a *testRun, _ *outageScenario) { a.lose(33, "002", false) }, "called dead that lived: 1, the first 002"},
		{"a loss before it is cut", func(a *testRun, b *outageScenario) {
			b.cut, b.healed = time.Time{}, time.Time{}
			a.lose(5, "001", false)
			b.cut, b.healed = at(10), at(30)
		}, "called dead that lived: 1, the first 001"},
		{"an agent whose loss nobody told", func(_ *testRun, b *outageScenario) { delete(b.lost, "002") }, "deaths that were not found: 1, the first of 002"},
		{"one that stays away", func(a *testRun, _ *outageScenario) { a.change(32, "001", event.Pending, event.Startup) }, "1 of 2 agents did not come back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNight(t, "001", "002")
			b.healed = time.Time{}
			a.lose(14, "001", true)
			a.lose(14, "002", true)
			a.outage(14)
			b.healed = at(30)
			a.change(31, "001", event.Active, event.Reconnected)
			a.change(31, "002", event.Active, event.Reconnected)
			a.recovery(31)
			tt.what(a, b)
			a.evaluateRun(at(60))
			if err := a.report.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestABlackoutEndsByItself(t *testing.T) {
	a, b := newNight(t, "001")
	over := func(seconds float64, want bool) {
		t.Helper()
		if b.isOver(at(seconds)) != want {
			t.Errorf("over after %v s: %v", seconds, !want)
		}
	}
	hold := (outageHold + afterHold).Seconds()
	over(31, false) // fleet_recovered has not been received
	over(30+waitTimeout.Seconds()+1, true)
	a.recovery(31)
	over(31+hold-1, false) // alerts of those that stayed away would still come
	over(31+hold+1, true)
	a.change(32, "001", event.Disconnected, event.ConnectionLost)
	over(31+hold+1, false) // one is away again
	b.healed = time.Time{}
	over(1000, false)
	b.started = false
	over(waitTimeout.Seconds()-1, false)
	over(waitTimeout.Seconds()+1, true)
	b.stays = true
	over(1000, false)
}

func TestSingleDeathsAreNoOutage(t *testing.T) {
	a := newTestRun(t, "001")
	a.change(1, "001", event.Active, event.Connected)
	a.fail(2, "001", "kill")
	a.change(3, "001", event.Disconnected, event.ConnectionLost)
	a.outage(3)
	if err := a.report.Err(); err == nil || !strings.Contains(err.Error(), "fleet outages told, though single agents died: 1") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(a.out.String(), "→ fleet_outage") {
		t.Errorf("it is not told:\n%s", &a.out)
	}
}

// A whole outage, with everything real, only shorter.
func TestABlackoutIsOneOutage(t *testing.T) {
	t.Parallel()
	var story strings.Builder
	report, err := Run(t.Context(), Config{Agents: 40, Outage: slowest, Version: "0.0.0", Out: &story})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(story.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if len(report.Detections) != 40 || report.Marked == 0 {
		t.Errorf("%d losses, %d of them marked", len(report.Detections), report.Marked)
	}
	for _, line := range []string{"all 40 agents are active", "all 40 agents are cut off", "the network is back"} {
		if n := strings.Count(story.String(), line); n != 1 {
			t.Errorf("%q is told %d times", line, n)
		}
	}
	if n := strings.Count(story.String(), "\n"); n > 30 {
		t.Errorf("%d lines for 40 agents", n)
	}
}
