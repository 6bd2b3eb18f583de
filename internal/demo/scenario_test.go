package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
)

var runStart = time.Unix(1716897300, 0)

// testRun is a demo run whose messages the test makes itself.
type testRun struct {
	*testing.T
	*failureScenario
	out  bytes.Buffer
	said int
}

func newTestRun(t *testing.T, ids ...string) *testRun {
	a := &testRun{T: t}
	names := make(map[string]string)
	for _, id := range ids {
		names[id] = "host-" + id
	}
	p := newRun(&environment{ids: ids, names: names}, &a.out, runStart)
	a.failureScenario = newFailureScenario(p)
	p.scenario = a.failureScenario
	return a
}

// at returns a time after the start of the run.
func at(seconds float64) time.Time {
	return runStart.Add(time.Duration(seconds * float64(time.Second)))
}

func (a *testRun) change(when float64, id string, to event.Status, reason event.Reason) {
	a.Helper()
	a.publish(when, event.Prefix("p").StatusChange(id), event.StatusChangeMessage{StatusChange: event.StatusChange{
		AgentID: id, CurrentStatus: to, Reason: reason, AlertLevel: alertlevel.OfStatusChange(alertlevel.Change{Reason: reason})}})
}

// fail records something that was done to an agent.
func (a *testRun) fail(when float64, id, name string) *failure {
	a.Helper()
	i := slices.IndexFunc(deeds, func(d *deed) bool { return d.name == name })
	if i < 0 {
		a.Fatalf("nothing is called %s", name)
	}
	return a.addFailure(id, deeds[i], at(when))
}

// lost publishes the loss of an agent, and alert an alert about it.
func (a *testRun) lost(when float64, c event.StatusChange) {
	a.Helper()
	c.CurrentStatus = event.Disconnected
	a.publish(when, event.Prefix("p").StatusChange(c.AgentID), event.StatusChangeMessage{StatusChange: c})
}

func (a *testRun) alert(when float64, c event.StatusChange) {
	a.Helper()
	c.CurrentStatus = event.Disconnected
	a.publish(when, "p.alerts.agent_disconnected", event.StatusChangeMessage{StatusChange: c})
}

func (a *testRun) publish(when float64, subject string, message any) {
	a.Helper()
	data, err := json.Marshal(message)
	if err != nil {
		a.Fatal(err)
	}
	a.said++
	data = bytes.Replace(data, []byte(`"sequence":0`), fmt.Appendf(nil, `"sequence":%d`, a.said), 1)
	if err := a.handleMessage(subject, data, at(when)); err != nil {
		a.Fatal(err)
	}
}

func TestDeathsAreMeasuredFromTheDeedToTheMessage(t *testing.T) {
	a := newTestRun(t, "001")
	a.change(1, "001", event.Active, event.Connected)
	f := a.fail(2, "001", "kill")
	a.change(2.6, "001", event.Disconnected, event.ConnectionLost)
	f.recoveredAt = at(5)
	a.change(5.1, "001", event.Pending, event.Startup)
	a.change(5.2, "001", event.Active, event.Reconnected)
	a.evaluateRun(at(100))

	want := []Detection{{AgentID: "001", How: "kill", Reason: "connection_lost", Host: event.HostUnknown, AfterMS: 600}}
	if diff := cmp.Diff(want, a.report.Detections); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if err := a.report.Err(); err != nil || a.report.Changes != 4 {
		t.Errorf("%v, %d changes", err, a.report.Changes)
	}
	if a.failures["001"] != nil {
		t.Error("the agent is back, and still taken for gone")
	}
	for _, line := range []string{"1.0s  all 1 agents are active", "disconnected, connection_lost, alert level 6: known after 600ms", "reconnected, known after 200ms"} {
		if !strings.Contains(a.out.String(), line) {
			t.Errorf("no %q in\n%s", line, &a.out)
		}
	}
}

func TestADisconnectionWithoutADeedIsFalse(t *testing.T) {
	for _, tt := range []struct {
		name string
		done func(*testRun)
	}{
		{"nothing was done", func(*testRun) {}},
		{"its death was told already, and it is back", func(a *testRun) {
			f := a.fail(1, "002", "hang")
			f.foundAt, f.recoveredAt = at(2), at(3)
		}},
		{"its death was told already, and it is still dead", func(a *testRun) { a.fail(1, "002", "cut").foundAt = at(2) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newTestRun(t, "001", "002")
			tt.done(a)
			a.change(4, "002", event.Disconnected, event.MissedKeepAlives)
			if diff := cmp.Diff([]Detection{{AgentID: "002", Reason: "missed_keepalives", Host: event.HostUnknown}}, a.report.False); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
			if err := a.report.Err(); err == nil || !strings.Contains(err.Error(), "agents called dead that lived: 1, the first 002 (missed_keepalives)") {
				t.Errorf("error %v", err)
			}
			if len(a.report.Detections) != 0 {
				t.Error("it counts as a detection, too")
			}
		})
	}
}

func TestADeathThatNobodyToldIsMissedIfThereWasTime(t *testing.T) {
	a := newTestRun(t, "001", "002", "003", "004")
	a.fail(1, "003", "hang")
	a.fail(1, "001", "cut")
	a.fail(1, "002", "kill").foundAt = at(2)
	a.fail(1+slowest.Seconds(), "004", "kill")
	a.started = true
	a.evaluateRun(at(1).Add(slowest + time.Second))
	if diff := cmp.Diff([]string{"001", "003"}, a.report.Missed); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if err := a.report.Err(); err == nil || !strings.Contains(err.Error(), "deaths that were not found: 2, the first of 001") {
		t.Errorf("error %v", err)
	}
}

func TestAgentsThatDoNotGetInAreToldIfThereWasTime(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{slowest - time.Second, 0}, {slowest + time.Second, 2}} {
		a := newTestRun(t, "001", "002", "003")
		a.change(1, "002", event.Active, event.Connected)
		a.evaluateRun(runStart.Add(tt.after))
		if a.report.NeverActive != tt.want || (a.report.Err() != nil) != (tt.want > 0) {
			t.Errorf("after %v: %d never active, %v", tt.after, a.report.NeverActive, a.report.Err())
		}
	}
}

func TestMessagesAreCountedByKind(t *testing.T) {
	a := newTestRun(t, "001")
	for kind, n := range map[event.EventType]int{event.KeepAliveSent: 3, event.KeepAliveAcknowledged: 2, event.KeepAliveFailed: 1} {
		for range n {
			a.publish(1, "p.manager.keepalive.001", event.KeepAliveMessage{Event: event.KeepAlive{AgentID: "001", EventType: kind}})
		}
	}
	a.publish(2, "p.manager.status.demo", event.ManagerStatusMessage{})
	a.publish(2, "p.alerts.agent_disconnected", event.StatusChangeMessage{StatusChange: event.StatusChange{
		AgentID: "001", CurrentStatus: event.Disconnected}})
	got, want := a.report, Report{Agents: 1, Sent: 3, Acknowledged: 2, Alerts: 1, AgentAlerts: 1, Detections: []Detection{}, False: []Detection{}, Missed: []string{}, QuietAlerts: []string{}, MissedAlerts: []string{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if err := a.handleMessage("p.agent.001.status_change", []byte("{"), at(3)); err == nil {
		t.Error("a message that is no JSON is no error")
	}
}

func TestNobodyDiesWhenThereIsNoTimeToTell(t *testing.T) {
	a := newTestRun(t, "001")
	a.started, a.active["001"], a.lastFailureAt = true, true, at(10)
	a.advance(at(10.1))
	a.lastFailureAt, a.nextAt = time.Time{}, at(20)
	a.advance(at(10.1))
	a.nextAt, a.active["001"] = time.Time{}, false
	a.advance(at(10.1))
	if len(a.failures) != 0 {
		t.Error("an agent was made to die: after the curtain, before its turn or while it was not active")
	}
}

func TestTheReportSaysWhatItCameTo(t *testing.T) {
	soon, later := 603.0, 2001.0
	r := Report{Agents: 2, Detections: []Detection{{How: "kill", AfterMS: 601.23, Host: event.HostAnswers, AlertMS: &soon},
		{How: "kill", AfterMS: 1999, Host: event.HostAnswers, AlertMS: &later}, {How: "shutdown", AfterMS: 0.44, Host: event.HostUnknown}}}
	for _, tt := range []struct {
		name string
		with func(*Report)
		want string
	}{
		{"each way to die with its span", func(*Report) {}, "  kill:      2 found, after 600ms to 2s; host answers; 2 alerts, after 600ms to 2s\n" +
			"  shutdown:  1 found, after 400µs; no alert\nEvery death was found, and"},
		{"no praise when Pulse was wrong", func(r *Report) { r.Missed = []string{"001"} }, "no alert\n"},
		{"that it was too short", func(r *Report) { r.Detections = nil }, "Let the demo run for 20 s or more.\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := r
			tt.with(&r)
			var out strings.Builder
			r.WriteText(&out)
			if !strings.Contains(out.String(), tt.want) || len(r.Missed) > 0 && strings.Contains(out.String(), "Every death") {
				t.Errorf("got %s", out.String())
			}
		})
	}
	if err := r.WriteJSON(io.Discard); err != nil {
		t.Error(err)
	}
}

func TestAlertsAreMeasuredFromTheDeedAndExplained(t *testing.T) {
	a := newTestRun(t, "001", "002", "003")
	a.started = true
	kill, off := a.fail(1, "001", "kill"), a.fail(1, "002", "off")
	a.fail(1, "003", "reboot")
	alive := event.StatusChange{AgentID: "001", Reason: event.ConnectionLost, AlertLevel: 10,
		Evidence: event.Evidence{Host: event.HostAnswers, Technique: event.ImpairDefenses}}
	gone := event.StatusChange{AgentID: "002", Reason: event.ConnectionLost, AlertLevel: 6, Evidence: event.Evidence{Host: event.HostSilent}}
	a.lost(1.6, alive)
	a.alert(1.7, alive)
	a.lost(2.4, gone)
	gone.AlertLevel, gone.AwayFor = 8, 6
	a.alert(8.4, gone)
	a.alert(20, gone) // a second one is not the first
	a.lost(2.5, event.StatusChange{AgentID: "003", Reason: event.ConnectionLost, AlertLevel: 6})
	a.evaluateRun(at(100))

	first, second := 700.0, 7400.0
	want := []Detection{
		{AgentID: "001", How: "kill", Reason: event.ConnectionLost, Host: event.HostAnswers, AfterMS: 600, AlertMS: &first},
		{AgentID: "002", How: "off", Reason: event.ConnectionLost, Host: event.HostSilent, AfterMS: 1400, AlertMS: &second},
		{AgentID: "003", How: "reboot", Reason: event.ConnectionLost, Host: event.HostUnknown, AfterMS: 1500},
	}
	if diff := cmp.Diff(want, a.report.Detections); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	if err := a.report.Err(); err != nil || a.report.Reboots != 1 || !kill.alertAt.Equal(at(1.7)) || !off.alertAt.Equal(at(8.4)) {
		t.Errorf("%v, %d reboots", err, a.report.Reboots)
	}
	for _, line := range []string{
		"host-001    → disconnected, connection_lost, host answers, alert level 10: known after 600ms\n",
		"host-001    → ALERT, level 10: the agent is gone, and its host is alive (T1562.001, impair defenses)\n",
		"host-002    → ALERT, level 8: neither the agent nor its host answers, for 6s now\n",
	} {
		if !strings.Contains(a.out.String(), line) {
			t.Errorf("no %q in\n%s", line, &a.out)
		}
	}
}

func TestARebootThatIsAnAlertAndALossThatIsNoneAreErrors(t *testing.T) {
	a := newTestRun(t, "001", "002", "003")
	a.fail(1, "001", "reboot")
	a.fail(1, "002", "kill")
	a.fail(1, "003", "off")
	for id, level := range map[string]int{"001": 6, "002": 10, "003": 6} {
		a.lost(2, event.StatusChange{AgentID: id, Reason: event.ConnectionLost, AlertLevel: level})
	}
	a.alert(3, event.StatusChange{AgentID: "001", AlertLevel: 8})
	a.evaluateRun(at(100))
	if diff := cmp.Diff([]string{"002", "003"}, a.report.MissedAlerts); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	err := a.report.Err()
	for _, want := range []string{"alerts of reboots and planned work: 1, the first of 001", "losses that were no alert: 2, the first of 002"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestAFailureEndsWhenItHasBeenSeen(t *testing.T) {
	for _, tt := range []struct {
		name, deed   string
		found, alert float64 // 0: not yet
		delayed      bool
		ends         float64 // after the deed at 0
	}{
		{"a kill", "kill", 0.6, 0.6, false, 2.6},
		{"one that is not found", "kill", 0, 0, false, 1e6},
		{"one that cannot be known", "kill", 0, 0, true, (slowest + downTime).Seconds()},
		{"a reboot", "reboot", 1.4, 0, false, rebootTime.Seconds()},
		{"a reboot that is not found", "reboot", 0, 0, false, rebootTime.Seconds()},
		{"a host that is gone", "off", 1.4, 7.4, false, 9.4},
		{"one without its alert", "off", 1.4, 0, false, (slowest + downTime).Seconds()},
	} {
		a := newTestRun(t, "001")
		f := a.fail(0, "001", tt.deed)
		if tt.found > 0 {
			f.foundAt = at(tt.found)
		}
		if tt.alert > 0 {
			f.alertAt = at(tt.alert)
		}
		if f.mayEnd(at(tt.ends-0.1), tt.delayed, &pace4) {
			t.Errorf("%s ends too early", tt.name)
		}
		if tt.ends < 1e6 && !f.mayEnd(at(tt.ends+0.001), tt.delayed, &pace4) {
			t.Errorf("%s does not end after %v s", tt.name, tt.ends)
		}
	}
}
