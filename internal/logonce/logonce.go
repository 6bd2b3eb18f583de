// Package logonce keeps what happens again and again from filling a log.
//
// It starts no goroutines and writes no log itself.
package logonce

import (
	"maps"
	"sync"
	"time"
)

// Limiter allows one line a period. The zero value allows one a minute. It may be used
// concurrently.
type Limiter struct {
	Period time.Duration // 0 for a minute

	mu      sync.Mutex
	last    time.Time
	skipped int
}

// Allow reports whether a line may be logged now, and how many were not since the last.
func (l *Limiter) Allow() (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	period := l.Period
	if period == 0 {
		period = time.Minute
	}
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < period {
		l.skipped++
		return 0, false
	}
	skipped, l.last, l.skipped = l.skipped, now, 0
	return skipped, true
}

// Keys allows one line about each key. The zero value is ready for use. It is for one
// goroutine.
type Keys[K comparable] struct {
	Period time.Duration // after which there may be another one; 0 for never
	Max    int           // keys with a line in that time; 0 for any number

	logged map[K]time.Time
}

// Allow reports whether a line about a key may be logged now.
func (k *Keys[K]) Allow(key K) bool {
	maps.DeleteFunc(k.logged, func(_ K, at time.Time) bool { return k.Period > 0 && time.Since(at) >= k.Period })
	if _, known := k.logged[key]; known || k.Max > 0 && len(k.logged) >= k.Max {
		return false
	}
	if k.logged == nil {
		k.logged = make(map[K]time.Time)
	}
	k.logged[key] = time.Now()
	return true
}

// Reset allows every key again.
func (k *Keys[K]) Reset() { clear(k.logged) }

const (
	kindLines = 3  // of a kind in a minute
	kindsMax  = 30 // counted apart; all others are one more
)

// Kinds allows the first lines of each kind, minute by minute: for kinds of lines of
// which others decide how often they come, and how many there are. The zero value is
// ready for use. It may be used concurrently.
type Kinds struct {
	mu     sync.Mutex
	minute time.Time // when it began
	lines  map[string]int
	before int // lines left out, not reported yet
}

// Allow reports whether a line may be logged, and how many were not since the last that was.
func (k *Kinds) Allow(kind string) (skipped int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lines == nil || time.Since(k.minute) >= time.Minute {
		k.minute, k.lines = time.Now(), make(map[string]int)
	}
	if _, known := k.lines[kind]; !known && len(k.lines) >= kindsMax {
		kind = ""
	}
	if k.lines[kind]++; k.lines[kind] > kindLines {
		k.before++
		return 0, false
	}
	skipped, k.before = k.before, 0
	return skipped, true
}

// Condition is something that works or not, which is logged when that changes. The zero
// value works. It is for one goroutine.
type Condition struct{ problem string }

// Set records the error, nil if all is well, and reports whether that is news.
func (c *Condition) Set(err error) (changed bool) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	changed = problem != c.problem
	c.problem = problem
	return changed
}

// Failed reports whether the last error was not nil.
func (c *Condition) Failed() bool { return c.problem != "" }
