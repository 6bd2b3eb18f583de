package silencer

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

// newBenchmark returns a silencer of a million agents and 10 000 silences of all kinds, that
// hold for 1 in 10 of the agents or so.
func newBenchmark(b *testing.B, agents int) (*Silencer, *testFleet) {
	fleet := newTestFleet(agents)
	s := Open(Config{Path: filepath.Join(b.TempDir(), "silences.json"), Fleet: fleet, Now: time.Now, Record: func(Change, *silence.Silence, string) {},
		Postpone: func(err error, _ func() error) { b.Fatal(err) }, Log: slog.New(slog.DiscardHandler)})
	for i := range silence.MaxSilences {
		r := silence.Request{For: "1h", By: "b"}
		switch i % 4 {
		case 0:
			r.Agent = fmt.Sprint(i + 1)
		case 1:
			r.Agent = fmt.Sprintf("host-%d*", 1000+i)
		case 2:
			r.Group = fmt.Sprintf("group%d", i)
		default:
			r.Network, r.Group = fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), "web"
		}
		added, err := r.NewSilence(time.Now())
		if err != nil {
			b.Fatal(err)
		}
		added.ID = s.nextID()
		s.kept = append(s.kept, &held{Silence: added})
	}
	s.updateStates(time.Now())
	return s, fleet
}

// All agents are evaluated, as when a node starts.
func BenchmarkEvaluateAMillionAgents(b *testing.B) {
	s, fleet := newBenchmark(b, 1_000_000)
	for b.Loop() {
		clear(s.agents)
		for i := range fleet.agents {
			fleet.agents[i].Silenced = false
		}
		s.evaluateAgents(nil, true)
	}
	b.ReportMetric(float64(len(s.agents)), "silenced")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(fleet.agents)), "ns/agent")
}

// One silence begins, and ends, beside all others.
func BenchmarkOneSilenceOfAMillionAgents(b *testing.B) {
	s, _ := newBenchmark(b, 1_000_000)
	s.evaluateAgents(nil, true)
	s.changed = nil
	for b.Loop() {
		s.evaluateSelected(s.kept[2:3]) // of a group: the fleet is read
	}
}

// One agent has another address.
func BenchmarkOneAgentThatChanges(b *testing.B) {
	s, fleet := newBenchmark(b, 1_000_000)
	s.evaluateAgents(nil, true)
	n := detector.AgentID(0)
	for b.Loop() {
		n = n%detector.AgentID(len(fleet.agents)) + 1
		s.MarkAgent(n)
		ids, _ := s.marked.takeMarks()
		s.evaluateAgents(ids, false)
	}
}
