package demo

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A whole demo, with everything real, is consistent with itself: what it counts,
// what it tells and what it found.
func TestADemoFindsWhatItDoes(t *testing.T) {
	t.Parallel()
	var story strings.Builder
	report, err := Run(t.Context(), Config{Agents: 5, For: slowest + 8*time.Second, Version: "0.0.0", Out: &story})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(story.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Agents != 5 || report.Sent == 0 || report.Acknowledged == 0 || report.Acknowledged > report.Sent {
		t.Errorf("of %d keep-alives to %d agents, %d were answered", report.Sent, report.Agents, report.Acknowledged)
	}
	deaths := len(regexp.MustCompile(`(?m) (is shut down|is killed|hangs|is cut)`).FindAllString(story.String(), -1))
	if deaths < len(failureKinds) || len(report.Detections) != deaths {
		t.Errorf("%d deaths, %d found", deaths, len(report.Detections))
	}
	if least := 2*report.Agents + deaths; report.Changes < least { // pending and active of each, and the deaths
		t.Errorf("%d status changes, want %d or more", report.Changes, least)
	}
	reasons := map[string]string{"shutdown": "agent_shutdown", "kill": "connection_lost", "hang": "missed_keepalives", "cut": "missed_keepalives"}
	for _, d := range report.Detections {
		bySilence := d.How == "hang" || d.How == "cut" // on a busy machine the timeout may come first
		if string(d.Reason) != reasons[d.How] && !(bySilence && d.Reason == "keepalive_timeout") || d.AfterMS < 0 || d.AfterMS > float64(slowest.Milliseconds()) {
			t.Errorf("%+v", d)
		}
	}
	grave := len(regexp.MustCompile(`alert level (8|9|\d\d):`).FindAllString(story.String(), -1)) // the others are below the threshold
	if report.Alerts != grave || report.AgentAlerts != grave {
		t.Errorf("%d alerts, want %d", report.Alerts, grave)
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
