package audit

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// repeatsMax is how many events of a kind are counted separately at a time.
const repeatsMax = 64

// Repeats limits the lines of events that others can cause as often as they like, such as
// failed logins: the first of each is a line, and then one a minute counts the others. It
// may be used concurrently.
type Repeats struct {
	Log  *Log // nil: nothing is written
	Kind string

	mu     sync.Mutex
	known  map[string]*repeat
	others uint64 // events beyond repeatsMax
}

type repeat struct {
	attrs []slog.Attr // of the first
	more  uint64
}

// Add adds an event. Events with one key are counted together.
func (r *Repeats) Add(key string, attrs ...slog.Attr) {
	if r.Log == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if again := r.known[key]; again != nil {
		again.more++
		return
	}
	if len(r.known) >= repeatsMax {
		r.others++
		return
	}
	if r.known == nil {
		r.known = make(map[string]*repeat)
	}
	r.known[key] = &repeat{attrs: attrs}
	r.Log.Add(r.Kind, attrs...)
}

// WriteCounts writes how many events there were since the last call, and must be called
// every minute. An event that did not happen again is a first one the next time.
func (r *Repeats) WriteCounts(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	minute := slog.String("until", now.UTC().Format(timeFormat))
	for _, key := range slices.Sorted(maps.Keys(r.known)) {
		again := r.known[key]
		if again.more == 0 {
			delete(r.known, key)
			continue
		}
		r.Log.Add(r.Kind, append(slices.Clone(again.attrs), slog.Uint64("more", again.more), minute)...)
		again.more = 0
	}
	if r.others > 0 {
		r.Log.Add(r.Kind, slog.Bool("others", true), slog.Uint64("more", r.others), minute)
		r.others = 0
	}
}
