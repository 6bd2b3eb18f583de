package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
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
	a.failures["001"] = &failure{how: agentsim.Kill, at: at(2)}
	a.change(2.6, "001", event.Disconnected, event.ConnectionLost)
	a.failures["001"].recoveredAt = at(5)
	a.change(5.1, "001", event.Pending, event.Startup)
	a.change(5.2, "001", event.Active, event.Reconnected)
	a.evaluateRun(at(100))

	want := []Detection{{AgentID: "001", How: "kill", Reason: "connection_lost", AfterMS: 600}}
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
		done *failure
	}{
		{"nothing was done", nil},
		{"its death was told already, and it is back", &failure{how: agentsim.Hang, at: at(1), foundAt: at(2), recoveredAt: at(3)}},
		{"its death was told already, and it is still dead", &failure{how: agentsim.Cut, at: at(1), foundAt: at(2)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newTestRun(t, "001", "002")
			if tt.done != nil {
				a.failures["002"] = tt.done
			}
			a.change(4, "002", event.Disconnected, event.MissedKeepAlives)
			if diff := cmp.Diff([]Detection{{AgentID: "002", Reason: "missed_keepalives"}}, a.report.False); diff != "" {
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
	a.failures["003"] = &failure{how: agentsim.Hang, at: at(1)}
	a.failures["001"] = &failure{how: agentsim.Cut, at: at(1)}
	a.failures["002"] = &failure{how: agentsim.Kill, at: at(1), foundAt: at(2)}
	a.failures["004"] = &failure{how: agentsim.Kill, at: at(1).Add(slowest)}
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
	got, want := a.report, Report{Agents: 1, Sent: 3, Acknowledged: 2, Alerts: 1, AgentAlerts: 1, Detections: []Detection{}, False: []Detection{}, Missed: []string{}}
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
	r := Report{Agents: 2, Detections: []Detection{{How: "kill", AfterMS: 601.23}, {How: "kill", AfterMS: 1999}, {How: "shutdown", AfterMS: 0.44}}}
	for _, tt := range []struct {
		name string
		with func(*Report)
		want string
	}{
		{"each way to die with its span", func(*Report) {}, "  shutdown:  1 found, after 400µs\n  kill:      2 found, after 600ms to 2s\nEvery death was found, and"},
		{"no praise when Pulse was wrong", func(r *Report) { r.Missed = []string{"001"} }, "2s\n"},
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
