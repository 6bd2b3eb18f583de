package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// SoakReport holds the figures of [RunSoak]. Those of "then" are medians of the second
// quarter of the rounds, when all that is kept for each agent is there; those of "now" are
// medians of the last quarter. What they grow in an hour is by their trend over all rounds
// but the first quarter.
type SoakReport struct {
	Agents  int     `json:"agents" unit:"in another process"`
	Seconds float64 `json:"seconds" unit:"s"`
	Rounds  int     `json:"rounds" unit:"with agents that fail and recover"`

	Failed    int `json:"failed" unit:"failures of single agents"`
	Cuts      int `json:"fleet_cuts" unit:"losses of the whole network"`
	Outages   int `json:"nats_kills" unit:"kills of the NATS server"`
	Strangers int `json:"strangers" unit:"connections that sent garbage"`

	ResidentThen   int64 `json:"rss_bytes_then" unit:"bytes of the node's process, second quarter"`
	ResidentNow    int64 `json:"rss_bytes_now" unit:"bytes, last quarter"`
	ResidentRate   int64 `json:"rss_bytes_per_hour" unit:"bytes an hour, by the trend of all rounds but the first quarter"`
	HeapThen       int64 `json:"heap_bytes_then" unit:"bytes in use after a collection"`
	HeapNow        int64 `json:"heap_bytes_now" unit:"bytes"`
	HeapRate       int64 `json:"heap_bytes_per_hour" unit:"bytes an hour"`
	GoroutinesThen int64 `json:"goroutines_then" unit:""`
	GoroutinesNow  int64 `json:"goroutines_now" unit:""`
	GoroutinesRate int64 `json:"goroutines_per_hour" unit:""`
	FilesThen      int64 `json:"open_files_then" unit:"with sockets"`
	FilesNow       int64 `json:"open_files_now" unit:"with sockets"`
	FilesRate      int64 `json:"open_files_per_hour" unit:""`
	StateFiles     int64 `json:"state_files" unit:"in the state directory, at the end"`
	StateBytes     int64 `json:"state_bytes" unit:"bytes in the state directory, at the end"`

	Messages    int    `json:"messages" unit:"read from the NATS server"`
	Losses      int    `json:"losses" unit:"status changes to disconnected"`
	FalseLosses int    `json:"false_losses" unit:"of agents that lived"`
	Absent      int    `json:"absent" unit:"agents that are not active at the end, though all live"`
	Missing     uint64 `json:"missing" unit:"messages that never came"`
	Twice       int    `json:"twice" unit:"messages that came twice"`
	Bad         int    `json:"bad" unit:"messages that cannot be read"`
	Dropped     uint64 `json:"telemetry_dropped" unit:"keep-alive events that were not published"`
	Dead        uint64 `json:"dead_letters" unit:"messages that the NATS server refused"`

	Judged bool     `json:"judged" unit:"whether there were enough rounds to know what grows"`
	Grew   []string `json:"grew" unit:"what grew"`
}

// minRounds is how many rounds there have to be before growth is looked for: with fewer, a
// trend that is three standard deviations from chance cannot be.
const minRounds = 12

// certainScore is from when on a trend is no chance.
const certainScore = 3

// grownFigure is one of the figures that have to stay as they are. It grew if its trend is
// no chance, and if it is by more than the share and the slack in the rounds that count:
// what is kept of agents that fail for the first time is less.
type grownFigure struct {
	what            string
	then, now, rate *int64
	share           float64
	slack           int64
	of              func(*soakState) int64
}

func (r *SoakReport) listGrowing() []grownFigure {
	return []grownFigure{
		{"the memory of the process", &r.ResidentThen, &r.ResidentNow, &r.ResidentRate, 0.02, 2 << 20, func(s *soakState) int64 { return s.Resident }},
		{"the heap", &r.HeapThen, &r.HeapNow, &r.HeapRate, 0.02, 1 << 20, func(s *soakState) int64 { return s.Heap }},
		{"the number of goroutines", &r.GoroutinesThen, &r.GoroutinesNow, &r.GoroutinesRate, 0, 4, func(s *soakState) int64 { return int64(s.Goroutines) }},
		{"the number of open files", &r.FilesThen, &r.FilesNow, &r.FilesRate, 0, 4, func(s *soakState) int64 { return int64(s.Files) }},
	}
}

// fillGrowth adds the samples' medians and trends to the report.
func (r *SoakReport) fillGrowth(samples []soakState) {
	r.Rounds, r.Judged, r.Grew = len(samples), len(samples) >= minRounds, []string{}
	if len(samples) == 0 {
		return
	}
	last := samples[len(samples)-1]
	r.StateFiles, r.StateBytes, r.Dropped, r.Dead = int64(last.StateFiles), last.StateBytes, last.Dropped, last.Dead
	quarter := max(len(samples)/4, 1)
	warm := samples[min(quarter, len(samples)-1):]
	then, now := samples[min(quarter, len(samples)-1):min(2*quarter, len(samples))], samples[len(samples)-quarter:]
	for _, f := range r.listGrowing() {
		*f.then, *f.now = medianOf(then, f.of), medianOf(now, f.of)
		t := trendOf(warm, f.of)
		*f.rate = int64(math.Round(t.slope))
		grown := t.slope * warm[len(warm)-1].since(&warm[0])
		if r.Judged && t.score > certainScore && grown > f.share*float64(*f.then)+float64(f.slack) {
			r.Grew = append(r.Grew, fmt.Sprintf("%s grew from %d to %d, by %d an hour", f.what, *f.then, *f.now, *f.rate))
		}
	}
}

// since returns the hours from an earlier state to this one.
func (s *soakState) since(earlier *soakState) float64 { return s.At.Sub(earlier.At).Hours() }

// trendOf returns the trend of a figure, for each hour.
func trendOf(samples []soakState, of func(*soakState) int64) trend {
	var times, values []float64
	for i := range samples {
		times, values = append(times, samples[i].since(&samples[0])), append(values, float64(of(&samples[i])))
	}
	return findTrend(times, values)
}

func medianOf(samples []soakState, of func(*soakState) int64) int64 {
	all := make([]int64, len(samples))
	for i := range samples {
		all[i] = of(&samples[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// Err returns what is wrong according to the figures.
func (r *SoakReport) Err() error {
	var errs []error
	for _, what := range r.Grew {
		errs = append(errs, errors.New(what))
	}
	wrong := func(what string, n uint64) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("%s: %d", what, n))
		}
	}
	wrong("agents that lived and were reported as lost", uint64(r.FalseLosses))
	wrong("agents that live and are not active at the end", uint64(r.Absent))
	wrong("messages that never came", r.Missing)
	wrong("messages that came twice", uint64(r.Twice))
	wrong("messages that cannot be read", uint64(r.Bad))
	wrong("messages that the NATS server refused", r.Dead)
	return errors.Join(errs...)
}

// WriteJSON writes the report as one JSON object.
func (r *SoakReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *SoakReport) WriteText(w io.Writer) { writeText(w, r) }
