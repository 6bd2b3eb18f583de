package bench

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixedStep returns a measurement of one row.
func fixedStep(name string, err error) allStep {
	return allStep{what: name, command: "listen --agents 1 --for " + name, takes: time.Minute, measure: func(context.Context) ([]AllRow, error) {
		return []AllRow{{Work: name, Unit: "µs", Pulse: 3, Beside: "bare", Other: 2, Goal: ratioBelow(2)}}, err
	}}
}

func rowNames(r *AllReport) (names []string) {
	for _, row := range r.Rows {
		names = append(names, row.Work)
	}
	return names
}

func TestAMeasurementThatFailsLeavesTheRowsOfTheOthers(t *testing.T) {
	fails := allStep{what: "fails", measure: func(context.Context) ([]AllRow, error) { return nil, errors.New("no manager") }}
	var r AllReport
	var progress bytes.Buffer
	runSteps(t.Context(), &r, []allStep{fixedStep("first", nil), fails, fixedStep("refuses", errors.New("3 refused")), fixedStep("last", nil)}, &progress)
	if got := rowNames(&r); !slices.Equal(got, []string{"first", "refuses", "last"}) {
		t.Errorf("rows %q", got)
	}
	if r.Complete || !slices.Equal(r.Problems, []string{"fails: no manager", "refuses: 3 refused"}) || r.Err() == nil {
		t.Errorf("complete %v, problems %q", r.Complete, r.Problems)
	}
	if want := "1 of 4: first, about 1m0s; all that is left, about 3m0s: pulse-bench listen --agents 1 --for first\n"; !strings.HasPrefix(progress.String(), want) {
		t.Errorf("progress %q, want %q", &progress, want)
	}
	if row := r.Rows[0]; row.Ratio != 1.5 || !*row.Reached || row.Command != "pulse-bench listen --agents 1 --for first" {
		t.Errorf("%+v", row)
	}
}

func TestARunThatIsEndedHasTheRowsBeforeIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := allStep{what: "ended", measure: func(context.Context) ([]AllRow, error) { cancel(); return nil, ctx.Err() }}
	var r AllReport
	runSteps(ctx, &r, []allStep{fixedStep("first", nil), ended, fixedStep("never", nil)}, t.Output())
	if got := rowNames(&r); !slices.Equal(got, []string{"first"}) || r.Complete {
		t.Errorf("rows %q, complete %v", got, r.Complete)
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "ended in measurement 2 of 3 (ended)") {
		t.Error(err)
	}
}

func TestAGoalIsOfAFigureOrOfItsRatio(t *testing.T) {
	row := AllRow{Pulse: 20_000, Ratio: 0.3}
	for _, tt := range []struct {
		goal    *AllGoal
		reached bool
		text    string
	}{
		{figureBelow(20_000), false, "below 20000"},
		{figureBelow(20_001), true, "below 20001"},
		{figureAtLeast(20_000), true, "at least 20000"},
		{figureAtLeast(20_001), false, "at least 20001"},
		{ratioBelow(0.3), false, "ratio below 0.3"},
		{ratioBelow(0.31), true, "ratio below 0.31"},
		{ratioAtLeast(1), false, "ratio at least 1"},
		{nil, false, ""},
	} {
		if got := tt.goal.String(); got != tt.text || tt.goal != nil && tt.goal.isReached(&row) != tt.reached {
			t.Errorf("%q, want %q, reached %v", got, tt.text, tt.reached)
		}
	}
	other := StandardAll
	other.Agents = 1000
	for _, row := range append(other.largeRows(new(ListenReport)), other.attachRows(new(AttachReport))...) {
		if row.Goal != nil || row.Recorded {
			t.Errorf("%s: a goal, or a recorded figure, that is for other numbers: %v", row.Work, row.Goal)
		}
	}
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]float64{0: 0, 0.012345: 0.0123, 1.2345: 1.23, 56.789: 56.8, 123.45: 123, 12345.6: 12346, 999.6: 1000} {
		if got := roundDigits(v); got != want {
			t.Errorf("%v is rounded to %v, want %v", v, got, want)
		}
	}
}

func TestATableReplacesTheOneBetweenTheMarkersOfAPage(t *testing.T) {
	r := AllReport{Machine: Machine{Go: "go1", System: "linux/amd64", Processors: 2}, Problems: []string{"3 refused"}}
	for _, name := range []string{"first", "second"} {
		row := fixedStep(name, nil)
		rows, _ := row.measure(t.Context())
		rows[0].Pulse, rows[0].Command = 12_345.6, "pulse-bench listen"
		r.addRow(rows[0])
	}
	page := "before\n" + tableBegin + "old\n" + tableEnd + "after\n"
	text, err := r.ReplaceTable([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.ReplaceTable(text); err != nil || !bytes.Equal(again, text) {
		t.Errorf("made again, the page is another one: %v\n%s", err, again)
	}
	for _, want := range []string{"before\n" + tableBegin, "\n| first | 12 346 µs | 2 µs (bare) | 6 173 | ratio below 2 | **not reached** |\n| second |",
		"Not all was measured.", "\n    go run ./cmd/pulse-bench listen\n", "\nWrong: 3 refused\n\n" + tableEnd + "after\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") || strings.Count(string(text), "go run") != 1 {
		t.Errorf("%s", text)
	}
	if _, err := r.ReplaceTable([]byte("no marker")); err == nil {
		t.Error("a page without markers is no error")
	}
}

func TestATerminalHasTheTableWithWhatIsReached(t *testing.T) {
	var r AllReport
	runSteps(t.Context(), &r, []allStep{fixedStep("first", nil), {what: "slow", measure: func(context.Context) ([]AllRow, error) {
		return []AllRow{{Work: "a slower thing", Unit: "µs", Pulse: 4000, Beside: "bare", Other: 2, Recorded: true, Goal: ratioBelow(2)}}, nil
	}}}, t.Output())
	var text strings.Builder
	r.WriteText(&text)
	want := []string{
		"work            Pulse     beside it              ratio  goal           ",
		"first           3 µs      2 µs (bare)            1.5    ratio below 2  reached",
		"a slower thing  4 000 µs  2 µs (bare), recorded  2 000  ratio below 2  not reached",
		"1 of 2 goals reached;"}
	for i, line := range slices.Collect(strings.Lines(text.String())) {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %q, want %q", line, want[i])
		}
	}
}

func TestWhatIsNoReportOfAllIsRefused(t *testing.T) {
	for _, text := range []string{"", "{}", `{"rows":[]}`, `{"agents":3}`, "[]"} {
		if _, err := ReadAll(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestAFleetThatIsNotWholeOrEndsBadlyHasFiguresAndIsReported(t *testing.T) {
	var f managerFigures
	f.connected, f.ended = 9, errors.New("exit status 1")
	r := ListenReport{Agents: 10}
	r.fillNode(f)
	err := r.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"9 of 10 agents were connected", "ended with an error: exit status 1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	r = ListenReport{Agents: 10}
	f.connected, f.ended = 10, nil
	if r.fillNode(f); r.Err() != nil {
		t.Error(r.Err())
	}
}
