package demo

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// A whole demo, with everything real, is consistent with itself: what it counts,
// what it tells and what it found.
func TestADemoFindsWhatItDoes(t *testing.T) {
	t.Parallel()
	var story strings.Builder
	report, err := Run(t.Context(), Config{Agents: len(deeds), For: slowest + 11*time.Second, Version: "0.0.0", Out: &story})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(story.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Agents != len(deeds) || report.Sent == 0 || report.Acknowledged == 0 || report.Acknowledged > report.Sent {
		t.Errorf("of %d keep-alives to %d agents, %d were answered", report.Sent, report.Agents, report.Acknowledged)
	}
	// A slow machine does not get to all deeds in this time; scenario_test.go does each of them.
	deaths := len(regexp.MustCompile(`(?m) (is killed|reboots with|is silenced|is gone with|hangs|is cut|is shut down)`).FindAllString(story.String(), -1))
	if deaths <= len(deeds)/2 || len(report.Detections) != deaths || report.Reboots == 0 {
		t.Errorf("%d deaths, %d found, %d reboots", deaths, len(report.Detections), report.Reboots)
	}
	if least := 2*report.Agents + deaths; report.Changes < least { // pending and active of each, and the deaths
		t.Errorf("%d status changes, want %d or more", report.Changes, least)
	}
	for i := range report.Detections {
		checkDetection(t, &report.Detections[i])
	}
	if told := strings.Count(story.String(), "→ ALERT, "); report.Alerts != told || report.AgentAlerts != told {
		t.Errorf("%d alerts, %d of agents, and %d are told", report.Alerts, report.AgentAlerts, told)
	}
}

// checkDetection checks what Pulse found out of one deed.
func checkDetection(t *testing.T, d *Detection) {
	t.Helper()
	want := map[string]struct {
		reason event.Reason
		host   event.Host
		alert  time.Duration // at the latest; 0: none
	}{
		"kill":     {event.ConnectionLost, event.HostAnswers, grace + 1500*time.Millisecond},
		"reboot":   {event.ConnectionLost, event.HostSilent, 0},
		"planned":  {event.ConnectionLost, event.HostSilent, 0},
		"off":      {event.ConnectionLost, event.HostSilent, slowest},
		"hang":     {event.MissedKeepAlives, event.HostAnswers, slowest},
		"cut":      {event.MissedKeepAlives, event.HostSilent, slowest},
		"shutdown": {event.AgentShutdown, event.HostUnknown, 0},
	}[d.How]
	// On a busy machine the timeout may come first, and the result of a probe too late.
	bySilence := want.reason == event.MissedKeepAlives && d.Reason == event.KeepAliveTimeout
	late := want.host == event.HostSilent && d.Host == event.HostUnknown
	if d.Reason != want.reason && !bySilence || d.Host != want.host && !late || d.AfterMS < 0 || d.AfterMS > float64(slowest.Milliseconds()) {
		t.Errorf("%+v, want %+v", d, want)
	}
	switch {
	case d.AlertMS == nil && want.alert > 0 && d.How == "kill":
		t.Errorf("%+v is no alert", d) // of others the demo itself decides: they may have come too late for it
	case d.AlertMS != nil && (want.alert == 0 || *d.AlertMS > float64(want.alert.Milliseconds())):
		t.Errorf("%+v: an alert after %v ms, want %v", d, *d.AlertMS, want.alert)
	}
}

func TestADemoThatIsInterruptedLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var story strings.Builder
	report, err := Run(ctx, Config{Agents: 1, Version: "0.0.0", Out: &story})
	if err != nil || report.Err() != nil {
		t.Error(err, report.Err())
	}
}
