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
	Answering    float64 `json:"wazuh_db_ms_per_s" unit:"ms of processor time a second in which its wazuh-db makes answers to Pulse"`
	Requests     float64 `json:"requests_per_s" unit:"to agents"`
	Commands     float64 `json:"commands_per_s" unit:"to remoted itself"`
	RequestBytes float64 `json:"request_bytes_per_s" unit:"both ways"`
	Queries      float64 `json:"sql_per_s" unit:"queries of wazuh-db"`
	SQLBytes     float64 `json:"sql_bytes_per_s" unit:"both ways"`

	AloneManagerCores float64 `json:"alone_manager_cpu_cores" unit:"of the manager, before anybody is beside it"`
	BareCores         float64 `json:"bare_cpu_cores" unit:"of a bare reader, which reads who has sent a keep-alive and asks each agent once a minute"`
	BareManagerCores  float64 `json:"bare_manager_cpu_cores" unit:"of the manager, beside that"`
	BareAnswering     float64 `json:"bare_wazuh_db_ms_per_s" unit:"ms of its wazuh-db"`
	BareRequests      float64 `json:"bare_requests_per_s" unit:"to agents"`
	BareRequestBytes  float64 `json:"bare_request_bytes_per_s" unit:"both ways"`
	BareQueries       float64 `json:"bare_sql_per_s" unit:"queries of wazuh-db"`
	BareSQLBytes      float64 `json:"bare_sql_bytes_per_s" unit:"both ways"`

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

func (r *AttachReport) fillPulse(l attachLoad) {
	r.Cores, r.ManagerCores, r.Answering, r.Commands = l.cores, l.managerCores, l.answering, l.commands
	r.Requests, r.RequestBytes, r.Queries, r.SQLBytes = l.requests, l.requestBytes, l.queries, l.sqlBytes
}

func (r *AttachReport) fillBare(l attachLoad) {
	r.BareCores, r.BareManagerCores, r.BareAnswering = l.cores, l.managerCores, l.answering
	r.BareRequests, r.BareRequestBytes, r.BareQueries, r.BareSQLBytes = l.requests, l.requestBytes, l.queries, l.sqlBytes
}

// attachLoad is what happens in a second between two snapshots.
type attachLoad struct {
	cores, managerCores    float64 // processor seconds
	answering              float64 // processor time of wazuh-db: milliseconds
	requests, requestBytes float64 // to agents
	commands               float64 // to remoted
	queries, sqlBytes      float64
}

func loadBetween(from, to attachSnapshot) attachLoad {
	seconds := to.at.Sub(from.at).Seconds()
	rate := func(from, to uint64) float64 { return float64(to-from) / seconds }
	a, z := &from.stats, &to.stats
	return attachLoad{
		cores: (to.ours - from.ours).Seconds() / seconds, managerCores: (to.theirs - from.theirs).Seconds() / seconds,
		answering: 1000 * (z.Answering - a.Answering).Seconds() / seconds,
		requests:  rate(a.Requests, z.Requests), requestBytes: rate(a.RequestsIn+a.RequestsOut, z.RequestsIn+z.RequestsOut),
		commands: rate(a.Commands, z.Commands), queries: rate(a.Queries, z.Queries), sqlBytes: rate(a.DBIn+a.DBOut, z.DBIn+z.DBOut),
	}
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
