package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// SoakReport holds the figures of [RunSoak]. Those of "then" are medians of the second
// quarter of the rounds, when all that is kept for each agent is there; those of "now" are
// medians of the last quarter.
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
	HeapThen       int64 `json:"heap_bytes_then" unit:"bytes"`
	HeapNow        int64 `json:"heap_bytes_now" unit:"bytes"`
	GoroutinesThen int64 `json:"goroutines_then" unit:""`
	GoroutinesNow  int64 `json:"goroutines_now" unit:""`
	FilesThen      int64 `json:"open_files_then" unit:"with sockets"`
	FilesNow       int64 `json:"open_files_now" unit:"with sockets"`
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
}

// minRounds is how many rounds there have to be before growth is looked for.
const minRounds = 8

// fillGrowth adds the samples' medians to the report.
func (r *SoakReport) fillGrowth(samples []soakState) {
	r.Rounds = len(samples)
	if len(samples) == 0 {
		return
	}
	last := samples[len(samples)-1]
	r.StateFiles, r.StateBytes, r.Dropped, r.Dead = int64(last.StateFiles), last.StateBytes, last.Dropped, last.Dead
	quarter := max(len(samples)/4, 1)
	then, now := samples[min(quarter, len(samples)-1):min(2*quarter, len(samples))], samples[len(samples)-quarter:]
	for _, f := range []struct {
		then, now *int64
		of        func(*soakState) int64
	}{
		{&r.ResidentThen, &r.ResidentNow, func(s *soakState) int64 { return s.Resident }},
		{&r.HeapThen, &r.HeapNow, func(s *soakState) int64 { return s.Heap }},
		{&r.GoroutinesThen, &r.GoroutinesNow, func(s *soakState) int64 { return int64(s.Goroutines) }},
		{&r.FilesThen, &r.FilesNow, func(s *soakState) int64 { return int64(s.Files) }},
	} {
		*f.then, *f.now = medianOf(then, f.of), medianOf(now, f.of)
	}
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
	grew := func(what string, then, now, slack int64) {
		if r.Rounds >= minRounds && now > then+then/10+slack {
			errs = append(errs, fmt.Errorf("%s grew from %d to %d", what, then, now))
		}
	}
	grew("the memory of the process", r.ResidentThen, r.ResidentNow, 8<<20)
	grew("the number of goroutines", r.GoroutinesThen, r.GoroutinesNow, 20)
	grew("the number of open files", r.FilesThen, r.FilesNow, 20)
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
