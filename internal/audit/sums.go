package audit

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// KindKeepAlives is a line with the sums of these agents' keep-alives of a minute.
const KindKeepAlives = "keepalives"

// Outcome is the outcome of a keep-alive.
type Outcome uint8

const (
	Sent     Outcome = iota // it went out
	Answered                // its answer came
	Failed                  // it could not go out, or no answer came in time

	outcomes = 3
)

func (o Outcome) String() string { return [outcomes]string{"sent", "answered", "failed"}[o] }

// agentsMax is how many bytes of agents a line has.
const agentsMax = 16 << 10

// Sums counts keep-alives, for a few lines a minute: most agents have the same sums, and
// successive IDs. It is for one goroutine.
type Sums struct {
	minute time.Time
	events []uint64 // agent << 2 | outcome
}

// CountKeepAlive counts a keep-alive. It first writes the sums of a minute that is over.
func (s *Sums) CountKeepAlive(l *Log, now time.Time, agent uint32, o Outcome) {
	s.FlushMinute(l, now)
	s.events = append(s.events, uint64(agent)<<2|uint64(o))
}

// FlushMinute writes the sums of the minute if it is over.
func (s *Sums) FlushMinute(l *Log, now time.Time) {
	if minute := now.UTC().Truncate(time.Minute); !minute.Equal(s.minute) {
		s.Flush(l)
		s.minute = minute
	}
}

// Flush writes the sums so far.
func (s *Sums) Flush(l *Log) {
	slices.Sort(s.events)
	byTally := make(map[[outcomes]int][]uint32)
	for i := 0; i < len(s.events); {
		agent, tally := s.events[i]>>2, [outcomes]int{}
		for ; i < len(s.events) && s.events[i]>>2 == agent; i++ {
			tally[s.events[i]&3]++
		}
		byTally[tally] = append(byTally[tally], uint32(agent))
	}
	if s.events = s.events[:0]; cap(s.events) > 1<<16 {
		s.events = nil // a fleet that was large once
	}
	for _, tally := range slices.SortedFunc(maps.Keys(byTally), func(a, b [outcomes]int) int { return slices.Compare(a[:], b[:]) }) {
		for agents := range formatAgentRanges(byTally[tally]) {
			l.Add(KindKeepAlives, slog.String("minute", s.minute.Format("2006-01-02T15:04Z")), slog.Int("sent", tally[Sent]),
				slog.Int("answered", tally[Answered]), slog.Int("failed", tally[Failed]), slog.String("agents", agents))
		}
	}
}

// formatAgentRanges yields agents, in order, as "001-017,020", in parts that fit into a line.
func formatAgentRanges(agents []uint32) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var b strings.Builder
		for i := 0; i < len(agents); {
			from := i
			for i++; i < len(agents) && agents[i] == agents[i-1]+1; i++ {
			}
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%03d", agents[from])
			if i-from > 1 {
				fmt.Fprintf(&b, "-%03d", agents[i-1])
			}
			if b.Len() >= agentsMax || i == len(agents) {
				if !yield(b.String()) {
					return
				}
				b.Reset()
			}
		}
	}
}

// isInRanges reports whether an agent is in a text of ranges yielded.
func isInRanges(text, agent string) bool {
	id, err := strconv.ParseUint(agent, 10, 32)
	if err != nil {
		return false
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err1 == nil && err2 == nil && first <= id && id <= last {
			return true
		}
	}
	return false
}

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
