package demo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/plural"
)

// Report is the result of a demo.
type Report struct {
	Agents        int         `json:"agents"`
	Sent          int         `json:"keepalives_sent"`
	Acknowledged  int         `json:"keepalives_acknowledged"`
	Changes       int         `json:"status_changes"`
	Alerts        int         `json:"alerts"`
	AgentAlerts   int         `json:"agent_alerts"`   // of these, alerts of single agents
	Outages       int         `json:"outages"`        // fleet_outage
	Recoveries    int         `json:"recoveries"`     // fleet_recovered
	Marked        int         `json:"marked_changes"` // losses marked as part of an outage
	Detections    []Detection `json:"detections"`
	False         []Detection `json:"false_detections"` // of agents that had not failed
	Missed        []string    `json:"missed_deaths"`    // agents whose failure was not reported
	Reboots       int         `json:"reboots"`          // that were played
	QuietAlerts   []string    `json:"unwanted_alerts"`  // agents whose reboot or planned work was an alert
	SilenceErrors []string    `json:"silence_errors,omitempty"`
	MissedAlerts  []string    `json:"missed_alerts"` // agents whose loss had to be an alert, and was none
	NeverActive   int         `json:"never_active"`  // agents that never became active
	NeverBack     int         `json:"never_back"`    // agents that did not return after an outage

	Messages uint64 `json:"messages"`          // numbered by the node, up to the last received
	Lost     int    `json:"lost_messages"`     // of these, not received
	Repeated int    `json:"repeated_messages"` // received twice, counted once

	// Of signed messages.
	Verified int    `json:"verified_messages,omitempty"`
	Refused  int    `json:"refused_messages,omitempty"` // with an invalid signature or content
	Refusal  string `json:"refusal,omitempty"`          // the first

	// With a server that is not the demo's own.
	Waiting         uint64  `json:"waiting_messages,omitempty"` // not delivered when the demo ended, as the server was unreachable
	ServerOutages   int     `json:"server_outages,omitempty"`
	LongestOutageMS float64 `json:"longest_server_outage_ms,omitempty"`

	Manager *ManagerReport `json:"manager,omitempty"` // that the node was attached to

	Blackout bool `json:"-"` // the scenario was an outage
}

// Detection is a failure that Pulse reported.
type Detection struct {
	AgentID string       `json:"agent_id"`
	How     string       `json:"how"`               // kill, reboot, planned, off, hang, cut or shutdown; empty for a false one
	Reason  event.Reason `json:"reason"`            // as in the message
	Host    event.Host   `json:"host"`              // the same; unknown where the message has none
	AfterMS float64      `json:"detected_after_ms"` // from the failure to the message's arrival, milliseconds
	AlertMS *float64     `json:"alert_after_ms"`    // the same of its first alert; null: it was none
}

// newDetection returns the detection by a status change.
func newDetection(how string, c *event.StatusChange, after time.Duration) Detection {
	return Detection{AgentID: c.AgentID, How: how, Reason: c.Reason, Host: cmp.Or(c.Host, event.HostUnknown), AfterMS: toMilliseconds(after)}
}

// Err returns an error if Pulse was wrong.
func (r *Report) Err() error {
	var err error
	wrong := func(n int, format string, args ...any) {
		if n > 0 {
			err = errors.Join(err, fmt.Errorf(format, args...))
		}
	}
	if n := len(r.False); n > 0 {
		wrong(n, "agents called dead that lived: %d, the first %s (%s)", n, r.False[0].AgentID, r.False[0].Reason)
	}
	if n := len(r.Missed); n > 0 {
		wrong(n, "deaths that were not found: %d, the first of %s", n, r.Missed[0])
	}
	if n := len(r.QuietAlerts); n > 0 {
		wrong(n, "alerts of reboots and planned work: %d, the first of %s", n, r.QuietAlerts[0])
	}
	if n := len(r.SilenceErrors); n > 0 {
		wrong(n, "agents that could not be silenced: %d, the first: %s", n, r.SilenceErrors[0])
	}
	if n := len(r.MissedAlerts); n > 0 {
		wrong(n, "losses that were no alert: %d, the first of %s", n, r.MissedAlerts[0])
	}
	wrong(r.Refused, "messages that were refused: %d, the first on %s", r.Refused, r.Refusal)
	wrong(r.Lost, "messages that did not arrive: %d of %d", r.Lost, r.Messages)
	wrong(int(r.Waiting), "messages that could not be delivered yet when the demo ended: %d (is the NATS server of --server there?)", r.Waiting)
	wrong(r.NeverActive, "%d of %d agents did not get in: does this system let a process open %d files (ulimit -n)?",
		r.NeverActive, r.Agents, 2*r.Agents+256)
	if m := r.Manager; m != nil {
		wrong(len(m.Unknown), "agents of whose loss the manager was not told: %d (%s)", len(m.Unknown), strings.Join(m.Unknown, ", "))
		wrong(len(m.Repeated), "agents of which the manager was told too often: %d (%s)", len(m.Repeated), strings.Join(m.Repeated, ", "))
		wrong(int(m.Requests5), "requests to agents of Wazuh 5, which cannot be asked: %d", m.Requests5)
		wrong(m.OtherRefused, "requests of another client of the manager without an answer: %d of %d", m.OtherRefused, m.OtherAsked)
	}
	if !r.Blackout {
		wrong(r.Outages, "fleet outages told, though single agents died: %d", r.Outages)
		return err
	}
	wrong(r.NeverBack, "%d of %d agents did not come back after the outage", r.NeverBack, r.Agents)
	wrong(r.AgentAlerts, "alerts of single agents during a fleet outage: %d, want none", r.AgentAlerts)
	if r.Outages != 1 || r.Recoveries != 1 {
		wrong(1, "%d fleet_outage and %d fleet_recovered, want one of each", r.Outages, r.Recoveries)
	}
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as text.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %s sent, %d answered, %s, %s.\n", plural.CountNoun(r.Agents, "agent"), plural.CountNoun(r.Sent, "keep-alive"),
		r.Acknowledged, plural.CountNoun(r.Changes, "status change"), plural.CountNoun(r.Alerts, "alert"))
	fmt.Fprintf(w, "%s, %d lost, %d came twice", plural.CountNoun(r.Messages, "message"), r.Lost, r.Repeated)
	switch longest := roundDuration(time.Duration(r.LongestOutageMS * float64(time.Millisecond))); {
	case r.ServerOutages == 1:
		fmt.Fprintf(w, "; the NATS server was away once, for %v", longest)
	case r.ServerOutages > 1:
		fmt.Fprintf(w, "; the NATS server was away %d times, %v at the longest", r.ServerOutages, longest)
	}
	if r.Verified > 0 {
		fmt.Fprintf(w, "; %d verified, %d refused", r.Verified, r.Refused)
	}
	fmt.Fprintln(w, ".")
	for _, d := range deeds {
		r.writeDetections(w, d.name)
	}
	if r.Blackout {
		fmt.Fprintf(w, "  fleet_outage: %d, fleet_recovered: %d, losses marked as part of it: %d, alerts of single agents: %d\n",
			r.Outages, r.Recoveries, r.Marked, r.AgentAlerts)
	}
	if r.Manager != nil {
		r.Manager.writeText(w)
	}
	switch {
	case r.Err() != nil: // the caller prints the error
	case r.Blackout:
		fmt.Fprintln(w, "One outage was one alert, and its end another.")
	case len(r.Detections) == 0:
		fmt.Fprintln(w, "Nobody died: there was no time for it. Let the demo run for 20 s or more.")
	default:
		fmt.Fprintln(w, "Every death was found, and no agent that lived was given up.")
	}
}

// writeDetections writes how soon what was done in one way was detected, and an alert.
func (r *Report) writeDetections(w io.Writer, how string) {
	var after, alerts []float64
	hosts := map[event.Host]bool{}
	for _, d := range r.Detections {
		if d.How != how {
			continue
		}
		after, hosts[d.Host] = append(after, d.AfterMS), true
		if d.AlertMS != nil {
			alerts = append(alerts, *d.AlertMS)
		}
	}
	if len(after) == 0 {
		return
	}
	fmt.Fprintf(w, "  %-9s %2d found, after %s; ", how+":", len(after), formatRange(slices.Min(after), slices.Max(after)))
	if len(hosts) == 1 && !hosts[event.HostUnknown] {
		fmt.Fprintf(w, "host %s; ", slices.Collect(maps.Keys(hosts))[0])
	}
	if len(alerts) == 0 {
		fmt.Fprintln(w, "no alert")
		return
	}
	fmt.Fprintf(w, "%s, after %s\n", plural.CountNoun(len(alerts), "alert"), formatRange(slices.Min(alerts), slices.Max(alerts)))
}

// toMilliseconds returns a duration in milliseconds.
func toMilliseconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// formatRange returns a range of milliseconds as text.
func formatRange(lo, hi float64) string {
	from, to := roundDuration(time.Duration(lo*float64(time.Millisecond))), roundDuration(time.Duration(hi*float64(time.Millisecond)))
	if from == to {
		return from.String()
	}
	return fmt.Sprintf("%v to %v", from, to)
}

// roundDuration rounds a duration to two or three digits.
func roundDuration(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d < 100*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}
