package roster

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
)

// logProblem logs what is wrong, once until it is something else.
func (r *Roster) logProblem(err error) {
	level, what := slog.LevelWarn, "cannot keep the roster of agents: trying again"
	switch {
	case errors.Is(err, errNoJetStream):
		level, what = slog.LevelInfo, "no roster of agents is kept: the NATS server has no JetStream"
	case errors.Is(err, errNoBucket):
		what = "no roster of agents is kept: its bucket is not there, and cannot be made; looking again now and then"
	case errors.Is(err, errAnother):
		level, what = slog.LevelInfo, "the bucket was replaced"
	}
	if r.problem.Set(errors.New(what)) {
		r.log.Log(context.Background(), level, what, "err", err)
	}
}

func (r *Roster) logRecovery() {
	r.writable.Store(true)
	if r.problem.Set(nil) {
		r.log.Info("the roster of agents is kept again")
	}
}

// Stats are the counts of a roster since Open.
type Stats struct {
	Kept       bool   `json:"kept"`       // there is a bucket, and it is written to
	Written    uint64 `json:"written"`    // states
	Outdated   uint64 `json:"outdated"`   // states that were not newer than those in the bucket
	Failures   uint64 `json:"failures"`   // after which it was tried again
	Unreadable uint64 `json:"unreadable"` // messages, or values in the bucket, that could not be parsed
}

type counters struct{ written, outdated, failures, unreadable, deleted atomic.Uint64 }

// Stats returns the counts so far. It costs nothing.
func (r *Roster) Stats() Stats {
	return Stats{r.writable.Load(), r.stats.written.Load(), r.stats.outdated.Load(), r.stats.failures.Load(), r.stats.unreadable.Load()}
}
