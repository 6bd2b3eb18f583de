package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Report is what a demo comes to.
type Report struct {
	Agents       int         `json:"agents"`
	Sent         int         `json:"keepalives_sent"`
	Acknowledged int         `json:"keepalives_acknowledged"`
	Changes      int         `json:"status_changes"`
	Alerts       int         `json:"alerts"`
	Detections   []Detection `json:"detections"`
	False        []Detection `json:"false_detections"` // of agents that lived
	Missed       []string    `json:"missed_deaths"`    // agents whose death nobody told
	NeverActive  int         `json:"never_active"`     // agents that did not get in
}

// Detection is one death that Pulse told.
type Detection struct {
	AgentID string  `json:"agent_id"`
	How     string  `json:"how"`               // shutdown, kill, hang or cut; empty for a false one
	Reason  string  `json:"reason"`            // as in the message
	AfterMS float64 `json:"detected_after_ms"` // from the deed to the message's arrival, milliseconds
}

// Err is nil unless Pulse was wrong.
func (r *Report) Err() error {
	var err error
	if n := len(r.False); n > 0 {
		err = fmt.Errorf("agents called dead that lived: %d, the first %s (%s)", n, r.False[0].AgentID, r.False[0].Reason)
	}
	if n := len(r.Missed); n > 0 {
		err = errors.Join(err, fmt.Errorf("deaths that were not found: %d, the first of %s", n, r.Missed[0]))
	}
	if n := r.NeverActive; n > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d agents did not get in: does this system let a process open %d files (ulimit -n)?",
			n, r.Agents, 2*r.Agents+256))
	}
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for a person.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "\n%d agents, %d keep-alives sent, %d answered, %d status changes, %d alerts.\n",
		r.Agents, r.Sent, r.Acknowledged, r.Changes, r.Alerts)
	for _, how := range ways {
		var n int
		var lo, hi float64
		for _, d := range r.Detections {
			if d.How == how.String() {
				if n == 0 {
					lo = d.AfterMS
				}
				n, lo, hi = n+1, min(lo, d.AfterMS), max(hi, d.AfterMS)
			}
		}
		if n > 0 {
			fmt.Fprintf(w, "  %-9s %2d found, after %s\n", how.String()+":", n, span(lo, hi))
		}
	}
	switch {
	case r.Err() != nil: // said by who ran the demo
	case len(r.Detections) == 0:
		fmt.Fprintln(w, "Nobody died: there was no time for it. Let the demo run for 15 s or more.")
	default:
		fmt.Fprintln(w, "Every death was found, and nobody was called dead who lived.")
	}
}

// span writes a range of milliseconds.
func span(lo, hi float64) string {
	from, to := short(time.Duration(lo*float64(time.Millisecond))), short(time.Duration(hi*float64(time.Millisecond)))
	if from == to {
		return from.String()
	}
	return fmt.Sprintf("%v to %v", from, to)
}

// short rounds a duration to two or three digits.
func short(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d < 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
