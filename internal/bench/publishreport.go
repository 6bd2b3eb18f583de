package bench

import (
	"fmt"
	"io"
)

// PublishReport holds the figures of [MeasurePublish].
type PublishReport struct {
	Messages          int     `json:"messages" unit:"through the whole way, one in 100 a status change"`
	Whole             float64 `json:"messages_per_s" unit:"from decision to confirmed by the NATS server"`
	WholeCPU          float64 `json:"message_cpu_us" unit:"µs of this process's processor time for each of these messages"`
	Bare              float64 `json:"bare_messages_per_s" unit:"the same messages, by the nats.go JetStream client alone"`
	BareCPU           float64 `json:"bare_message_cpu_us" unit:"µs, of the client alone"`
	Ratio             float64 `json:"ratio_to_bare_client" unit:"of the two rates"`
	Local             float64 `json:"local_messages_per_s" unit:"from decision to durable on the local disk, without a server"`
	Forward           float64 `json:"forward_messages_per_s" unit:"from the local disk to confirmed, while keep-alives go on"`
	P50               float64 `json:"latency_p50_ms" unit:"ms from decision to confirmed, of a status change, at 500 decisions a second"`
	P99               float64 `json:"latency_p99_ms" unit:"ms"`
	LocalP50          float64 `json:"local_latency_p50_ms" unit:"ms from decision to durable on the local disk, of the same"`
	LocalP99          float64 `json:"local_latency_p99_ms" unit:"ms"`
	Storm             int     `json:"storm_changes" unit:"status changes decided at once"`
	StormDurable      float64 `json:"storm_durable_s" unit:"s until all are on the local disk"`
	StormConfirmed    float64 `json:"storm_confirmed_s" unit:"s until all are confirmed"`
	StormCPU          float64 `json:"storm_change_cpu_us" unit:"µs of this process's processor time for each of them"`
	CatchUp           int     `json:"catch_up_messages" unit:"stored while the server was away"`
	CatchUpSeconds    float64 `json:"catch_up_s" unit:"s until all of them were confirmed"`
	PeakResidentBytes int64   `json:"peak_rss_bytes" unit:"bytes of this process at most, but for the bare client and filling the disk"`
	Decided           uint64  `json:"decided" unit:"in all parts"`
	Stored            uint64  `json:"stored" unit:"of these, by the NATS server"`
}

// Err returns an error unless the server stored every message exactly once.
func (r *PublishReport) Err() error {
	if r.Stored != r.Decided {
		return fmt.Errorf("of %d messages, the NATS server stored %d", r.Decided, r.Stored)
	}
	return nil
}

// WriteJSON writes the report as one JSON object.
func (r *PublishReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *PublishReport) WriteText(w io.Writer) { writeText(w, r) }
