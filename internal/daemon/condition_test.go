package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/republisher"
)

func TestWhatIsAFailure(t *testing.T) {
	s := Status{NATS: NATS{State: event.NATSConnecting}, TelemetryDropped: 7}
	if h := makeHealth(deriveConditions(&observation{Status: &s})); h.Failures != nil || h.Warnings != nil {
		t.Errorf("%+v", h)
	}
	h := makeHealth(deriveConditions(&observation{Status: &s, losing: losses{telemetry: true}, storing: errors.New("disk full")}))
	if got := strings.Join(h.Failures, "; "); got != "outbox: disk full; keep-alive events are being dropped, 7 so far" {
		t.Errorf("%s", got)
	}
	s.Audit = &audittrail.Status{Problem: "no space left on device", Since: time.Unix(1767323045, 0).UTC(), Missing: 3}
	h = makeHealth(deriveConditions(&observation{Status: &s, losing: losses{audit: true}}))
	if got := strings.Join(h.Failures, "; "); got != "the audit log cannot be written since 2026-01-02T03:04:05Z: no space left on device; the audit log is losing lines, 3 so far" {
		t.Errorf("%s", got)
	}
}

func TestANodeThatIsCutOffSaysSo(t *testing.T) {
	s := Status{NATS: NATS{State: event.NATSConnected}, Cluster: new(ClusterStatus)}
	if h := makeHealth(deriveConditions(&observation{Status: &s})); h.Failures != nil {
		t.Errorf("%+v", h)
	}
	s.Cluster.CutOff = true
	if h := makeHealth(deriveConditions(&observation{Status: &s})); len(h.Failures) != 1 || !strings.Contains(h.Failures[0], "cut off from the others") {
		t.Errorf("%+v", h)
	}
}

func TestAConditionThatComesAndGoesIsAnnouncedOnce(t *testing.T) {
	var tracker conditionTracker
	start := time.Unix(1716897300, 0).UTC()
	var got []string
	for _, step := range []struct {
		after int
		on    []string
	}{{0, nil}, {1, []string{"a"}}, {2, []string{"a", "b"}}, {3, []string{"b"}}, {4, []string{"a", "b"}}, {5, nil}, {9, nil}, {10, nil}, {11, []string{"a"}}} {
		now := start.Add(time.Duration(step.after) * time.Second)
		var on []Condition
		for _, code := range step.on {
			on = append(on, Condition{Code: code, Problem: fmt.Sprint(step.after)})
		}
		began, ended := tracker.update(on, now)
		for _, c := range began {
			got = append(got, fmt.Sprintf("%d: %s began", step.after, c.Code))
		}
		for _, c := range ended {
			got = append(got, fmt.Sprintf("%d: %s ended, since %d, %s", step.after, c.Code, c.Since.Unix()-start.Unix(), c.Problem))
		}
	}
	want := []string{"1: a began", "2: b began", "9: a ended, since 1, 4", "9: b ended, since 2, 4", "11: a began"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	on := []Condition{{Code: "a"}, {Code: "c"}}
	tracker.setBeginnings(on, start.Add(time.Minute))
	if on[0].Since != start.Add(11*time.Second) || on[1].Since != start.Add(time.Minute) {
		t.Errorf("%+v", on)
	}
}

// The server is back, and has both messages; log, audit log, metrics and the API
// have it too.
func TestAConditionOfTheNodeIsToldEverywhere(t *testing.T) {
	t.Parallel()
	xdr := far(t)
	stored(t, xdr) // so that what is published before the next stream is made waits for it
	port := xdr.Addr().(*net.TCPAddr).Port
	cfg := testSettings(t)
	cfg.NATS.ServerURL, cfg.NATS.MaxReconnects, cfg.NATS.ReconnectDelay = xdr.ClientURL(), 2, 20*time.Millisecond
	h := openTestNode(t, cfg)
	h.node.out.recorder.conditions.hold = time.Millisecond
	h.startNode()
	h.awaitNATS(event.NATSConnected)
	h.awaitAnswer("/metrics", 200, `pulse_messages_forwarded_total{stream="TELEMETRY"} 1`)
	xdr.Shutdown()
	xdr.WaitForShutdown()
	h.log.await(t, "node condition began code=nats_unavailable", 1)
	h.awaitAnswer("/metrics", 200, `pulse_condition{code="nats_unavailable"} 1`)
	h.awaitAnswer("/metrics", 200, `pulse_condition{code="dead_letters"} 0`)
	h.awaitAnswer("/api/v1/status", 200, `"code": "nats_unavailable"`)
	stream := stored(t, far(t, func(o *server.Options) { o.Port = port }))
	h.log.await(t, "node condition ended code=nats_unavailable", 1)

	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"wazuh.xdr.alerts.node_condition"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []event.NodeCondition{{State: event.ConditionBegan, AlertLevel: alertlevel.Failure}, {State: event.ConditionEnded, AlertLevel: alertlevel.Ended}} {
		m, err := consumer.Next(jetstream.FetchMaxWait(testTimeout))
		if err != nil {
			t.Fatal(err)
		}
		var got event.NodeConditionMessage
		if err := json.Unmarshal(m.Data(), &got); err != nil {
			t.Fatal(err)
		}
		c := got.Condition
		if c.State != want.State || c.AlertLevel != want.AlertLevel || c.Code != "nats_unavailable" || c.ManagerNode != "node01" ||
			!strings.Contains(c.Problem, "is unavailable since") || c.Since == 0 || c.Timestamp < c.Since {
			t.Errorf("%s", m.Data())
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	lines := trail(t, cfg)
	has(t, lines, "condition", map[string]any{"code": "nats_unavailable", "state": "began"})
	has(t, lines, "condition", map[string]any{"code": "nats_unavailable", "state": "ended"})
}

func TestAPanicWhileAPeerIsServedFailsHealthForAMinute(t *testing.T) {
	p := &Publisher{recorder: &recorder{}}
	s := Status{NATS: NATS{State: event.NATSConnected}, Link: Link{Kind: event.LinkListen, Stats: new(listen.Stats)}}
	p.addConditions(&s)
	if s.Health.Failures != nil {
		t.Fatalf("before: %v", s.Health.Failures)
	}
	s.Link.Panics = 2
	p.addConditions(&s)
	if len(s.Health.Failures) != 1 || !strings.Contains(s.Health.Failures[0], "2 so far") {
		t.Errorf("%v", s.Health.Failures)
	}
	if p.panics.roseRecently(2, time.Now().Add(lossPeriod)) {
		t.Error("it never ends")
	}
}

func TestOCSFEventsThatWaitAreAFailureAfterAMoment(t *testing.T) {
	for _, tt := range []struct {
		stats *republisher.Stats
		fails bool
	}{
		{nil, false},
		{&republisher.Stats{Waiting: 3}, false},
		{&republisher.Stats{Waiting: 3, Problem: "no stream", Since: time.Now()}, false},
		{&republisher.Stats{Waiting: 3, Problem: "no stream", Since: time.Now().Add(-time.Minute)}, true},
	} {
		o := &observation{Status: &Status{OCSF: tt.stats}}
		i := slices.IndexFunc(conditionChecks, func(c conditionCheck) bool { return c.code == "ocsf_waiting" })
		c := &conditionChecks[i]
		if problem := c.problem(o); (problem != "") != tt.fails || !c.failure || tt.fails && !strings.Contains(problem, "3 messages are not published as OCSF: no stream") {
			t.Errorf("%+v: %q", tt.stats, problem)
		}
	}
}
