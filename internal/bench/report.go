package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
)

// A report is a struct of figures. The tags of each field have its name and its unit.

// roundFigures rounds the figures of a report to three decimals.
func roundFigures(report any) {
	for _, value := range reflect.ValueOf(report).Elem().Fields() {
		if value.CanFloat() {
			value.SetFloat(math.Round(value.Float()*1000) / 1000)
		}
	}
}

// writeJSON writes a report as one JSON object.
func writeJSON(w io.Writer, report any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// writeText writes the figures of a report with their explanations.
func writeText(w io.Writer, report any) {
	for field, value := range reflect.ValueOf(report).Elem().Fields() {
		fmt.Fprintf(w, "%-22s %10v  %s\n", field.Tag.Get("json"), value, field.Tag.Get("unit"))
	}
}
