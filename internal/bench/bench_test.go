package bench

import (
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestEveryAgentHasItsTurn(t *testing.T) {
	for _, n := range []int{1, 2, 3, 250, 618, 1000} {
		o := newTurnOrder(n)
		had := make(map[detector.AgentID]bool)
		for i := range n {
			had[o.agentAt(int64(i))] = true
		}
		if len(had) != n || !had[1] || !had[detector.AgentID(n)] {
			t.Errorf("%d of %d agents have a turn", len(had), n)
		}
	}
}

func TestTurnsAreSpreadOverTheTime(t *testing.T) {
	f := newFleet(7)
	f.start = 1000
	for i := range int64(70) {
		if at := f.turnTime(f.start, i); f.turnsUntil(at-1) > i || f.turnsUntil(at+1) != i+1 {
			t.Errorf("turn %d is at %d, but %d are due a moment before, %d after", i, at, f.turnsUntil(at-1), f.turnsUntil(at+1))
		}
	}
}

func TestAgentsDiffer(t *testing.T) {
	names, addresses := make(map[string]bool), make(map[string]bool)
	for _, m := range makeMembers(2000) {
		names[m.Name], addresses[agentAddress(m.ID).String()] = true, true
		if m.IP != "any" && m.IP != agentAddress(m.ID).String() {
			t.Errorf("%v is registered at %s and comes from %v", m.ID, m.IP, agentAddress(m.ID))
		}
	}
	if len(names) != 2000 || len(addresses) != 2000 {
		t.Errorf("2000 agents have %d names and %d addresses", len(names), len(addresses))
	}
}

func TestWhatTheReportHoldsAgainstTheDetector(t *testing.T) {
	tests := []struct {
		name   string
		report DetectorReport
		want   string
	}{
		{"nothing", DetectorReport{Agents: 1}, ""},
		{"a death that was none", DetectorReport{FalseTransitions: 3}, "living agents called disconnected: 3"},
		{"a pause", DetectorReport{Paused: 1}, "could not keep up"},
		{"sightings that wait", DetectorReport{Behind: 1.5}, "1.5 s behind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.report.Err()
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
