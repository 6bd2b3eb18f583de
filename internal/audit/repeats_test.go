package audit

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func membersOf(t *testing.T, dir, kind string) (lines []string) {
	t.Helper()
	if err := Read(dir, Filter{Kind: kind}, func(l *Line) error {
		_, members, _ := strings.Cut(string(l.Text), `"kind":"`+kind+`",`)
		lines = append(lines, members)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestWhatRepeatsIsALineAtFirstAndThenOneAMinute(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	r := Repeats{Log: l, Kind: "refused"}
	add := func(who string) { r.Add(who, slog.String("peer", who)) }
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	add("a")
	add("b")
	add("a")
	add("a")
	r.WriteCounts(at)
	add("a")
	add("b")
	r.WriteCounts(at.Add(time.Minute))
	r.WriteCounts(at.Add(2 * time.Minute))
	mustClose(t, l)
	want := []string{`"peer":"a"}`, `"peer":"b"}`, `"peer":"a","more":2,"until":"2026-01-02T03:04:00.000Z"}`,
		`"peer":"b"}`, `"peer":"a","more":1,"until":"2026-01-02T03:05:00.000Z"}`}
	if diff := cmp.Diff(want, membersOf(t, dir, "refused")); diff != "" {
		t.Error(diff)
	}
}

func TestManyThatRepeatTakeABoundedNumberOfLines(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	r := Repeats{Log: l, Kind: "refused"}
	for i := range 10_000 {
		r.Add(fmt.Sprint(i), slog.Int("peer", i))
	}
	r.WriteCounts(time.Now())
	mustClose(t, l)
	lines := membersOf(t, dir, "refused")
	if len(lines) != repeatsMax+1 || !strings.HasPrefix(lines[repeatsMax], `"others":true,"more":9936,`) {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
}
