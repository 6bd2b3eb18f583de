package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// AllReport is the table of [MeasureAll].
type AllReport struct {
	Machine  Machine  `json:"machine"`
	Complete bool     `json:"complete"` // all was measured
	Rows     []AllRow `json:"rows"`
	Problems []string `json:"problems,omitempty"` // what is wrong, or kept a measurement from its end
}

// Machine is where and when a report was made.
type Machine struct {
	Time       time.Time `json:"time"`
	Go         string    `json:"go"`
	System     string    `json:"system"`
	Processors int       `json:"processors"`
	LoadBefore string    `json:"load_before,omitempty"` // averages of 1, 5 and 15 minutes
	LoadAfter  string    `json:"load_after,omitempty"`
}

func readMachine() Machine {
	return Machine{Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Processors: runtime.NumCPU(), LoadBefore: readLoad()}
}

// readLoad returns the system's load averages, or "".
func readLoad() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return ""
	}
	return strings.Join(fields[:3], " ")
}

// AllRow is one figure, what it is compared with, and what it should be.
type AllRow struct {
	Work     string   `json:"work"`
	Unit     string   `json:"unit,omitempty"`
	Pulse    float64  `json:"pulse"`
	Beside   string   `json:"beside,omitempty"` // what the other figure is of
	Other    float64  `json:"other,omitempty"`
	Ratio    float64  `json:"ratio,omitempty"`    // of Pulse's figure to the other
	Recorded bool     `json:"recorded,omitempty"` // the other figure is not of this run, nor of this machine
	Goal     *AllGoal `json:"goal,omitempty"`
	Reached  *bool    `json:"reached,omitempty"` // the goal; nil without one
	Command  string   `json:"command"`           // that measures it alone
}

// AllGoal is what a row's figure, or its ratio, should be.
type AllGoal struct {
	Of      string  `json:"of"` // pulse or ratio
	Below   float64 `json:"below,omitempty"`
	AtLeast float64 `json:"at_least,omitempty"`
}

func figureBelow(v float64) *AllGoal   { return &AllGoal{Of: "pulse", Below: v} }
func figureAtLeast(v float64) *AllGoal { return &AllGoal{Of: "pulse", AtLeast: v} }
func ratioBelow(v float64) *AllGoal    { return &AllGoal{Of: "ratio", Below: v} }
func ratioAtLeast(v float64) *AllGoal  { return &AllGoal{Of: "ratio", AtLeast: v} }

// String returns the goal as it is printed: "ratio below 2", "at least 20000".
func (a *AllGoal) String() string {
	if a == nil {
		return ""
	}
	of := ""
	if a.Of == "ratio" {
		of = "ratio "
	}
	if a.AtLeast > 0 {
		return fmt.Sprintf("%sat least %.6g", of, a.AtLeast)
	}
	return fmt.Sprintf("%sbelow %.6g", of, a.Below)
}

// isReached reports whether a row has what its goal demands.
func (a *AllGoal) isReached(row *AllRow) bool {
	value := row.Pulse
	if a.Of == "ratio" {
		value = row.Ratio
	}
	if a.AtLeast > 0 {
		return value >= a.AtLeast
	}
	return value < a.Below
}

// fitRows returns the rows for sizes that are standard or not: goals and what is recorded
// are for those only.
func fitRows(rows []AllRow, standard bool) []AllRow {
	if standard {
		return rows
	}
	rows = slices.DeleteFunc(rows, func(row AllRow) bool { return row.Recorded })
	for i := range rows {
		rows[i].Goal = nil
	}
	return rows
}

// addRow adds a row, with its ratio and whether it reaches its goal.
func (r *AllReport) addRow(row AllRow) {
	if row.Other > 0 {
		row.Ratio = roundDigits(row.Pulse / row.Other)
	}
	if row.Goal != nil {
		reached := row.Goal.isReached(&row)
		row.Reached = &reached
	}
	row.Pulse, row.Other = roundDigits(row.Pulse), roundDigits(row.Other)
	r.Rows = append(r.Rows, row)
}

// roundDigits rounds to three digits, and to whole numbers what is larger.
func roundDigits(v float64) float64 {
	if v == 0 || math.Abs(v) >= 1000 {
		return math.Round(v)
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// Err returns what the measurements have found wrong, or what kept them from their end.
func (r *AllReport) Err() (err error) {
	for _, p := range r.Problems {
		err = errors.Join(err, errors.New(p))
	}
	return err
}

// WriteJSON writes the table as one JSON object.
func (r *AllReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the table for a terminal.
func (r *AllReport) WriteText(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "work\tPulse\tbeside it\tratio\tgoal\t")
	reached, goals := 0, 0
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Reached != nil {
			goals++
			if *row.Reached {
				reached++
			}
		}
		fmt.Fprintln(t, strings.ReplaceAll(strings.Join(row.cells(), "\t"), "*", ""))
	}
	_ = t.Flush() // standard output's error is the next line's too
	fmt.Fprintf(w, "%d of %d goals reached; %d processors, load %s before and %s after\n", reached, goals, r.Machine.Processors, r.Machine.LoadBefore, r.Machine.LoadAfter)
}
