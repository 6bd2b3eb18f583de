package bench

import (
	"context"
	"fmt"
	"io"
	"time"
)

// AllConfig configures [MeasureAll].
type AllConfig struct {
	Agents   int           // of the large fleet over TCP
	Small    int           // of the small one
	TCP      int           // agents over TCP, as many as the open files allow at most; 0 for none
	UDP      int           // agents over UDP; 0 for none
	Messages int           // that are published
	For      time.Duration // how long to measure each usual load
	Progress io.Writer
}

// StandardAll is the configuration that the goals are for.
var StandardAll = AllConfig{Agents: 10_000, Small: 2_000, TCP: 19_000, UDP: 100_000, Messages: 200_000, For: 30 * time.Second}

// allStep is one of the measurements of [MeasureAll].
type allStep struct {
	what    string
	command string // that makes this measurement alone
	takes   time.Duration
	// measure returns the rows that it could fill in, and what is wrong according to them,
	// or what kept it from measuring.
	measure func(context.Context) ([]AllRow, error)
}

// MeasureAll runs the other measurements one after the other, and puts each figure beside
// what it is compared with. The report has what was measured until ctx ended, and the others
// if a measurement fails.
func MeasureAll(ctx context.Context, cfg AllConfig) *AllReport {
	r := &AllReport{Machine: readMachine(), Rows: []AllRow{}}
	runSteps(ctx, r, cfg.listSteps(), cfg.Progress)
	r.Machine.LoadAfter = readLoad()
	return r
}

// listSteps returns the measurements in their order: what costs most time comes last.
func (c *AllConfig) listSteps() (steps []allStep) {
	steps = append(steps, c.largeStep(), c.smallStep(), c.publishStep(), c.attachStep())
	if c.TCP > 0 {
		steps = append(steps, c.tcpStep())
	}
	if c.UDP > 0 {
		steps = append(steps, c.datagramStep())
	}
	return steps
}

// runSteps adds the rows of the steps to the report, and what is wrong with them.
func runSteps(ctx context.Context, r *AllReport, steps []allStep, progress io.Writer) {
	var left time.Duration
	complete := true
	for _, s := range steps {
		left += s.takes
	}
	for i, s := range steps {
		fmt.Fprintf(progress, "%d of %d: %s, about %v; all that is left, about %v: pulse-bench %s\n", i+1, len(steps), s.what,
			s.takes.Round(10*time.Second), left.Round(10*time.Second), s.command)
		left -= s.takes
		rows, err := s.measure(ctx)
		if ctx.Err() != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("ended in measurement %d of %d (%s): the rows are those before it", i+1, len(steps), s.what))
			return
		}
		complete = complete && len(rows) > 0
		if err != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %v", s.what, err))
			fmt.Fprintf(progress, "%s: %v\n", s.what, err)
		}
		for _, row := range rows {
			row.Command = "pulse-bench " + s.command
			r.addRow(row)
		}
	}
	r.Complete = complete
}

// RowNames returns the names of all rows that [MeasureAll] makes with this configuration.
func RowNames(c AllConfig) (names []string) {
	for _, rows := range [][]AllRow{c.largeRows(new(ListenReport)), c.smallRows(new(ListenReport)), c.publishRows(new(PublishReport)),
		c.attachRows(new(AttachReport)), c.tcpRows(new(ListenReport)), c.datagramRows(new(ListenReport))} {
		for _, row := range rows {
			names = append(names, row.Work)
		}
	}
	return names
}
