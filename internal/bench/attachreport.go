package bench

import (
	"fmt"
	"io"
)

// AttachReport holds the figures of [MeasureAttach].
type AttachReport struct {
	Agents       int     `json:"agents" unit:""`
	Inventory    float64 `json:"inventory_s" unit:"s to read all agents from wazuh-db, everyday"`
	Known        float64 `json:"known_s" unit:"s from the start until all are known to be active"`
	Cores        float64 `json:"cpu_cores" unit:"of Pulse: processor seconds a second, everyday"`
	Resident     int64   `json:"rss_bytes" unit:"of Pulse"`
	ManagerCores float64 `json:"manager_cpu_cores" unit:"of the simulated manager, without its agents"`
	Requests     float64 `json:"requests_per_s" unit:"to agents"`
	RequestBytes float64 `json:"request_bytes_per_s" unit:"both ways"`
	Queries      float64 `json:"sql_per_s" unit:"queries of wazuh-db"`
	SQLBytes     float64 `json:"sql_bytes_per_s" unit:"both ways"`
	Killed       float64 `json:"killed_s" unit:"s from an agent's death to the message, connection closed (the longest of 10)"`
	Closed       float64 `json:"closed_s" unit:"s until the manager has told Pulse that it has no connection (the longest of them)"`
	Hung         float64 `json:"hung_s" unit:"s, connection open and silent (the longest of 3)"`
	AloneP50     float64 `json:"guest_alone_p50_ms" unit:"ms for another client's request, before Pulse is there"`
	AloneMax     float64 `json:"guest_alone_max_ms" unit:"ms, the longest of all"`
	GuestP50     float64 `json:"guest_p50_ms" unit:"ms with Pulse, while a twentieth of the agents hang"`
	GuestP90     float64 `json:"guest_p90_ms" unit:"ms"`
	GuestMax     float64 `json:"guest_max_ms" unit:"ms, the longest of all"`
	MostInFlight int     `json:"most_in_flight" unit:"requests of Pulse that the manager had to serve at once"`
}

func (r *AttachReport) fillBetween(from, to attachSnapshot) {
	seconds := to.at.Sub(from.at).Seconds()
	rate := func(from, to uint64) float64 { return float64(to-from) / seconds }
	r.Cores = (to.ours - from.ours).Seconds() / seconds
	r.ManagerCores = (to.theirs - from.theirs).Seconds() / seconds
	a, z := &from.stats, &to.stats
	r.Requests = rate(a.Requests, z.Requests)
	r.RequestBytes = rate(a.RequestsIn+a.RequestsOut, z.RequestsIn+z.RequestsOut)
	r.Queries = rate(a.Queries, z.Queries)
	r.SQLBytes = rate(a.DBIn+a.DBOut, z.DBIn+z.DBOut)
}

// Err returns an error if the manager had to serve more requests at once than
// allowed.
func (r *AttachReport) Err() error {
	if most := 128; r.MostInFlight > most { // <max_in_flight>
		return fmt.Errorf("%d requests at once: want %d at most", r.MostInFlight, most)
	}
	return nil
}

// WriteJSON writes the report as one JSON object.
func (r *AttachReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *AttachReport) WriteText(w io.Writer) { writeText(w, r) }
