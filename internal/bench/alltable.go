package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ReadAll reads the report that [AllReport.WriteJSON] wrote.
func ReadAll(r io.Reader) (*AllReport, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var report AllReport
	if err := d.Decode(&report); err != nil {
		return nil, fmt.Errorf("read the JSON of pulse-bench all: %w", err)
	}
	if len(report.Rows) == 0 {
		return nil, errors.New("the JSON of pulse-bench all has no rows")
	}
	return &report, nil
}

// WriteMarkdown writes the report as a table of Markdown, with the machine before it and
// the measurements' commands after it.
func (r *AllReport) WriteMarkdown(w io.Writer) {
	m := &r.Machine
	fmt.Fprintf(w, "Measured on %s with %s on %s, %d processors.\nLoad averages: %s before, %s after.", m.Time.Format("2006-01-02"), m.Go, m.System, m.Processors, m.LoadBefore, m.LoadAfter)
	if !r.Complete {
		fmt.Fprint(w, " Not all was measured.")
	}
	fmt.Fprint(w, "\n\n| work | Pulse | beside it | ratio | goal | |\n| --- | --- | --- | --- | --- | --- |\n")
	var commands []string
	for i := range r.Rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r.Rows[i].cells(), " | "))
		if !slices.Contains(commands, r.Rows[i].Command) {
			commands = append(commands, r.Rows[i].Command)
		}
	}
	fmt.Fprint(w, "\nEach measurement alone:\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "    go run ./cmd/%s\n", c)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "\nWrong: %s\n", strings.ReplaceAll(p, "\n", "; "))
	}
}

// cells returns what a table has of the row: the work, Pulse's figure, the other one, their
// ratio, the goal, and whether it is reached.
func (row *AllRow) cells() []string {
	beside, ratio, verdict := "", "", ""
	if row.Beside != "" {
		beside, ratio = fmt.Sprintf("%s (%s)", withUnit(row.Other, row.Unit), row.Beside), withUnit(row.Ratio, "")
	}
	if row.Recorded {
		beside += ", recorded"
	}
	if row.Reached != nil {
		verdict = "reached"
		if !*row.Reached {
			verdict = "**not reached**"
		}
	}
	return []string{row.Work, withUnit(row.Pulse, row.Unit), beside, ratio, row.Goal.String(), verdict}
}

// withUnit returns a figure with its unit; thousands are apart.
func withUnit(v float64, unit string) string {
	text := fmt.Sprintf("%.6g", v)
	if v >= 1000 {
		text = fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + " " + text[i:]
		}
	}
	return strings.TrimSpace(text + " " + unit)
}

// The lines around the table in a page.
const (
	tableBegin = "<!-- pulse-bench table: begin -->\n"
	tableEnd   = "<!-- pulse-bench table: end -->\n"
)

// FindTable returns where the table between the markers of a page begins and ends.
func FindTable(page []byte) (from, to int, err error) {
	from, to = bytes.Index(page, []byte(tableBegin)), bytes.Index(page, []byte(tableEnd))
	if from < 0 || to < from {
		return 0, 0, fmt.Errorf("no lines %q and, below it, %q", strings.TrimSpace(tableBegin), strings.TrimSpace(tableEnd))
	}
	return from + len(tableBegin), to, nil
}

// ReplaceTable returns the page with this report's table between its markers.
func (r *AllReport) ReplaceTable(page []byte) ([]byte, error) {
	from, to, err := FindTable(page)
	if err != nil {
		return nil, err
	}
	var table bytes.Buffer
	table.WriteString("\n")
	r.WriteMarkdown(&table)
	table.WriteString("\n")
	return slices.Concat(page[:from], table.Bytes(), page[to:]), nil
}
