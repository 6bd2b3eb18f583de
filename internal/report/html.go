package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var htmlText string

var htmlTemplate = template.Must(template.New("report").Funcs(template.FuncMap{"percent": percentText, "duration": FormatSeconds, "time": formatTime, "moment": formatMoment}).Parse(htmlText))

// WriteHTML writes a page that stands alone, to be read or printed.
func (r *Report) WriteHTML(w io.Writer) error { return htmlTemplate.Execute(w, r) }

func percentText(part *float64) string {
	if text := formatPercent(part); text != "" {
		return text + " %"
	}
	return "–"
}

// FormatSeconds returns a duration in its two largest units.
func FormatSeconds(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func twoUnits(large int, unit string, small int, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", large, unit)
	}
	return fmt.Sprintf("%d %s %d %s", large, unit, small, smallUnit)
}

func formatTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }

func formatMoment(t *time.Time) string {
	if t == nil {
		return "goes on"
	}
	return formatTime(*t)
}
