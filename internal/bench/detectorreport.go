package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// DetectorReport holds the figures of [MeasureDetector].
type DetectorReport struct {
	Agents           int     `json:"agents" unit:""`
	BytesPerAgent    float64 `json:"bytes_per_agent" unit:"bytes in the detector, with names and addresses"`
	ResidentBytes    int64   `json:"rss_bytes" unit:"bytes of the whole process at the end"`
	Seconds          float64 `json:"seconds" unit:"s measured"`
	LoadSeconds      float64 `json:"load_s" unit:"s to let all agents in"`
	Sightings        float64 `json:"sightings_per_s" unit:"agents' own keep-alives a second"`
	KeepAlives       float64 `json:"keepalives_per_s" unit:"keep-alives sent a second"`
	Answers          float64 `json:"answers_per_s" unit:"answers to them a second"`
	SweepP50         float64 `json:"sweep_p50_us" unit:"µs"`
	SweepP99         float64 `json:"sweep_p99_us" unit:"µs"`
	RoundP99         float64 `json:"round_p99_us" unit:"µs for a sweep, the sightings before it and handing over the decisions"`
	LatenessP50      float64 `json:"sweep_lateness_p50_ms" unit:"ms from the time of a sweep to its start"`
	LatenessP99      float64 `json:"sweep_lateness_p99_ms" unit:"ms"`
	LatenessMax      float64 `json:"sweep_lateness_max_ms" unit:"ms"`
	Cores            float64 `json:"cpu_cores" unit:"processor seconds a second, the play of the agents included"`
	Failed           int64   `json:"keepalives_failed" unit:"while every agent answers"`
	FalseTransitions int64   `json:"false_transitions" unit:"living agents called disconnected, from the load on"`
	Paused           int64   `json:"pauses" unit:"times that the detector found itself stopped or starved"`
	Behind           float64 `json:"behind_s" unit:"s by which sightings waited at the end"`
}

func (r *DetectorReport) fillBetween(from, to *snapshot) {
	r.Seconds = to.at.Sub(from.at).Seconds()
	rate := func(from, to int64) float64 { return float64(to-from) / r.Seconds }
	r.Sightings = rate(from.seen, to.seen)
	r.KeepAlives = rate(from.tally.sent, to.tally.sent)
	r.Answers = rate(from.tally.acknowledged, to.tally.acknowledged)
	r.Cores = (to.processor - from.processor).Seconds() / r.Seconds
	r.ResidentBytes = to.resident
	r.Failed, r.Paused = to.tally.failed-from.tally.failed, to.tally.resumed-from.tally.resumed
	r.FalseTransitions = to.tally.to[detector.Disconnected]

	sweep, round := to.pace.Sweep.Since(&from.pace.Sweep), to.pace.Round.Since(&from.pace.Round)
	late := to.pace.Lateness.Since(&from.pace.Lateness)
	us := func(h *detector.Histogram, q float64) float64 { return float64(h.Quantile(q).Microseconds()) }
	r.SweepP50, r.SweepP99, r.RoundP99 = us(&sweep, 0.5), us(&sweep, 0.99), us(&round, 0.99)
	r.LatenessP50, r.LatenessP99, r.LatenessMax = us(&late, 0.5)/1000, us(&late, 0.99)/1000, us(&late, 1)/1000
}

// Err returns an error if the detector was wrong or could not keep up.
func (r *DetectorReport) Err() error {
	var err error
	if n := r.FalseTransitions; n > 0 {
		err = fmt.Errorf("living agents called disconnected: %d", n)
	}
	if r.Paused > 0 || r.Behind > 1 {
		err = errors.Join(err, fmt.Errorf("it could not keep up: %d pauses, sightings %.1f s behind: is the machine busy?", r.Paused, r.Behind))
	}
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *DetectorReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *DetectorReport) WriteText(w io.Writer) { writeText(w, r) }
