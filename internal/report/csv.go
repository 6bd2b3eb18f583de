package report

import (
	"encoding/csv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
)

// WriteCSV writes the rows, with a heading.
func (r *Report) WriteCSV(w io.Writer) error {
	reasons := slices.Sorted(maps.Keys(r.Reasons))
	c := csv.NewWriter(w)
	heading := []string{string(r.By), "name", "agents", "availability_percent", "losses", "away_seconds", "longest_away_seconds"}
	for _, reason := range reasons {
		heading = append(heading, "losses_"+string(reason))
	}
	_ = c.Write(heading) // the error is that of Flush
	for i := range r.Rows {
		row := &r.Rows[i]
		cells := []string{escapeCell(row.Key), escapeCell(row.Name), strconv.Itoa(row.Agents), formatPercent(row.Availability), strconv.Itoa(row.Losses),
			strconv.FormatFloat(row.Away, 'f', 0, 64), strconv.FormatFloat(row.Longest, 'f', 0, 64)}
		for _, reason := range reasons {
			cells = append(cells, strconv.Itoa(row.Reasons[event.Reason(reason)]))
		}
		_ = c.Write(cells)
	}
	c.Flush()
	return c.Error()
}

// escapeCell returns a text that no spreadsheet takes for a formula: agents choose their names.
func escapeCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func formatPercent(part *float64) string {
	if part == nil {
		return ""
	}
	return strconv.FormatFloat(100**part, 'f', 3, 64)
}
