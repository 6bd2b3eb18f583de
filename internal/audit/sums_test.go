package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func keepAliveLines(t *testing.T, dir string) (lines []string) {
	t.Helper()
	if err := Read(dir, Filter{Kind: KindKeepAlives}, func(l *Line) error {
		var m struct {
			Minute, Agents         string
			Sent, Answered, Failed int
		}
		if err := json.Unmarshal(l.Text, &m); err != nil {
			return err
		}
		_, members, _ := strings.Cut(string(l.Text), `"minute":`)
		lines = append(lines, members)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestKeepAlivesAreSummedUpByTheMinute(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	var s Sums
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for agent := range uint32(12) {
		s.CountKeepAlive(l, at, agent+1, Sent)
		if agent != 6 {
			s.CountKeepAlive(l, at.Add(time.Second), agent+1, Answered)
		}
	}
	s.CountKeepAlive(l, at, 7, Failed)
	s.CountKeepAlive(l, at, 7, Sent)
	s.CountKeepAlive(l, at, 5000, Sent)
	s.CountKeepAlive(l, at, 5000, Answered)
	s.CountKeepAlive(l, at.Add(time.Minute), 3, Failed)
	s.Flush(l)
	s.Flush(l)
	mustClose(t, l)
	want := []string{
		`"2026-01-02T03:04Z","sent":1,"answered":1,"failed":0,"agents":"001-006,008-012,5000"}`,
		`"2026-01-02T03:04Z","sent":2,"answered":0,"failed":1,"agents":"007"}`,
		`"2026-01-02T03:05Z","sent":0,"answered":0,"failed":1,"agents":"003"}`,
	}
	if diff := cmp.Diff(want, keepAliveLines(t, dir)); diff != "" {
		t.Error(diff)
	}
	for agent, want := range map[string]int{"001": 1, "003": 2, "006": 1, "007": 1, "5000": 1, "013": 0, "x": 0} {
		n := 0
		if err := Read(dir, Filter{Agent: agent}, func(*Line) error { n++; return nil }); err != nil || n != want {
			t.Errorf("%d lines are about %s, want %d (%v)", n, agent, want, err)
		}
	}
}

func TestTheSumsOfManyAgentsTakeSeveralLinesAndNoneIsTooLong(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	var s Sums
	for agent := uint32(1); agent < 100_000; agent += 2 { // the worst case: no two follow each other
		s.CountKeepAlive(l, time.Now(), agent, Sent)
	}
	s.Flush(l)
	mustClose(t, l)
	lines := keepAliveLines(t, dir)
	agents := 0
	for _, line := range lines {
		agents += strings.Count(line, ",") - 3 // between the members
		if len(line) > agentsMax+200 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if agents != 50_000 {
		t.Errorf("%d agents in %d lines", agents, len(lines))
	}
}
